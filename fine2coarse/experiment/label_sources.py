"""From a recipe's label specs to label spaces."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping

from fine2coarse.data.examples import Examples
from fine2coarse.experiment.recipe import LabelSpec
from fine2coarse.experiment.strict import RecipeError
from fine2coarse.labels import sources
from fine2coarse.labels.space import LabelSpace
from fine2coarse.taxonomy.taxonomy import Taxonomy


@dataclasses.dataclass(frozen=True, eq=False)
class LabelContext:
    """What a source may draw on.

    Attributes:
      taxonomy: of the dataset.
      train: the training images.
      dataset_fingerprint: of the prepared data.
      target: the coarse task's label space; None while that itself is made.
      seed: of the run.
    """

    taxonomy: Taxonomy
    train: Examples
    dataset_fingerprint: str
    target: LabelSpace | None
    seed: int


def make_label_space(spec: LabelSpec, context: LabelContext) -> LabelSpace:
    """Makes a label space.

    Raises:
      RecipeError: on an unknown source or option.
    """
    if spec.source not in SOURCES:
        close = difflib.get_close_matches(spec.source, SOURCES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise RecipeError(
            f"unknown label source {spec.source!r}{hint} There are: {', '.join(sorted(SOURCES))}"
        )
    try:
        return SOURCES[spec.source](context, **spec.options)
    except TypeError as error:
        raise RecipeError(f"label source {spec.source!r}: {error}") from error


def _level(context: LabelContext, level: str) -> LabelSpace:
    return sources.level(context.taxonomy, level)


def _random(
    context: LabelContext, num_classes: int | None = None, as_many_as_level: str | None = None
) -> LabelSpace:
    """As many classes as given, or as a level has."""
    if (num_classes is None) == (as_many_as_level is None):
        raise RecipeError("label source 'random' takes num_classes or as_many_as_level")
    if as_many_as_level is not None:
        num_classes = sources.level(context.taxonomy, as_many_as_level).num_classes
    return sources.random_within(
        context.train.targets(context.target),
        context.train.image_ids,
        num_classes=num_classes,
        seed=context.seed,
        dataset_fingerprint=context.dataset_fingerprint,
    )


def _per_image(context: LabelContext) -> LabelSpace:
    return sources.per_image(
        context.train.image_ids, dataset_fingerprint=context.dataset_fingerprint
    )


SOURCES: Mapping[str, Callable[..., LabelSpace]] = {
    "level": _level,
    "random": _random,
    "per_image": _per_image,
}
