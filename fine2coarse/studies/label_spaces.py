"""From a recipe's label specs to label spaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fine2coarse.input.examples import Examples
from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.space import LabelSpace, LabelSpaceError
from fine2coarse.labels.spec import Context
from fine2coarse.labels.spec_mapping import from_mapping
from fine2coarse.recipes.recipe import LabelSpec
from fine2coarse.schema import RecipeError
from fine2coarse.taxonomy.taxonomy import Taxonomy


def label_context(
    taxonomy: Taxonomy,
    train: Examples,
    evaluate: Examples | None,
    dataset_fingerprint: str,
    held_out: Examples | None = None,
) -> Context:
    """What label spaces are made for; they are made from the training images.

    The images evaluated on and held out, if given, are labelled by the same functions.
    """
    splits = {"train": (train.image_ids, train.leaf_labels)}
    if evaluate is not None:
        splits["evaluate"] = (evaluate.image_ids, evaluate.leaf_labels)
    if held_out is not None:
        splits["held_out"] = (held_out.image_ids, held_out.leaf_labels)
    images = ImageIndex.of_splits(
        splits,
        "train",
        dataset_fingerprint=dataset_fingerprint,
        taxonomy_fingerprint=taxonomy.fingerprint,
    )
    return Context(taxonomy, images)


def indexed_context(dataset: Any, train_split: str, other_splits: Sequence[str] = ()) -> Context:
    """The same from a `PreparedDataset`, without reading a pixel.

    Args:
      dataset: the prepared dataset.
      train_split: the split that label spaces are made from.
      other_splits: splits to label as well; all others where empty.
    """
    names = [train_split, *(other_splits or (s for s in dataset.splits if s != train_split))]
    indexes = {name: dataset.index(name) for name in names}
    images = ImageIndex.of_splits(
        {name: (index.image_ids, index.labels) for name, index in indexes.items()},
        train_split,
        dataset_fingerprint=dataset.fingerprint,
        taxonomy_fingerprint=dataset.taxonomy.fingerprint,
    )
    return Context(dataset.taxonomy, images)


def make_label_space(spec: LabelSpec, context: Context) -> LabelSpace:
    """Makes a label space.

    Raises:
      RecipeError: on an unknown source or option.
      LabelSpaceError: where the space cannot be made of this data.
    """
    try:
        source = from_mapping({"source": spec.source, "options": spec.options})
    except LabelSpaceError as error:
        raise RecipeError(str(error)) from error
    return source.build(context)
