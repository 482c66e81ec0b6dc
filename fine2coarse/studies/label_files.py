"""Label spaces as files: made from a card, described, and numbers of clusters ranked."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Iterator, Sequence

from fine2coarse.datasets.prepared import PreparedDataset
from fine2coarse.errors import UsageError
from fine2coarse.labels.advise import advise
from fine2coarse.labels.describe import advice_table, agreement_table, summary, with_images
from fine2coarse.labels.embeddings import Embeddings
from fine2coarse.labels.space import LabelSpace
from fine2coarse.labels.spec import Clusters, Context
from fine2coarse.recipes.label_card import LabelCard
from fine2coarse.studies.label_spaces import indexed_context


def card_context(dataset: PreparedDataset, card: LabelCard | None) -> Context:
    """What a card's label spaces are made for: the images, and the target where there is one.

    Args:
      dataset: the prepared dataset.
      card: where None, the context is that of all splits, the training split first.
    """
    if card is None:
        return indexed_context(dataset, "train")
    context = indexed_context(dataset, card.dataset.train_split, card.dataset.eval_splits)
    if card.target is None:
        return context
    return dataclasses.replace(context, target=card.target.build(context))


def make_files(
    card: LabelCard, context: Context, out: pathlib.Path, against: Sequence[LabelSpace] = ()
) -> Iterator[str]:
    """Makes a card's label space, or one for each of its sizes; yields what each is like.

    Args:
      card: what to make.
      context: what for, see `card_context`.
      out: the .npz to write; with several sizes `out-SIZE.npz`. Its JSON goes beside it, and so do
        the centroids of clusters.
      against: label spaces to compare with.
    """
    for size in card.sizes or (None,):
        yield from _make_file(card, size, context, out, against)


def _make_file(
    card: LabelCard,
    size: int | None,
    context: Context,
    out: pathlib.Path,
    against: Sequence[LabelSpace],
) -> Iterator[str]:
    source, started = card.label, time.monotonic()
    if size is not None:
        source = dataclasses.replace(source, num_clusters=size)
        out = out.with_name(f"{out.stem}-{size}.npz")
    if isinstance(source, Clusters):
        space, centroids = source.build_with_centroids(context)
        centroids_file = out.with_name(out.stem + ".centroids.npz")
        out.parent.mkdir(parents=True, exist_ok=True)
        centroids.save(centroids_file)
        yield f"centroids, to label new images with: {centroids_file}"
    else:
        space = source.build(context)
    space.save(out)
    yield f"wrote {out} and {out.name}.json in {time.monotonic() - started:.1f} s"
    yield describe_space(space, context, against)


def describe_space(space: LabelSpace, context: Context, against: Sequence[LabelSpace] = ()) -> str:
    """Describes a label space for people to read.

    Args:
      space: made for this context, or for the same dataset.
      context: the images, and a target to compare with where there is one.
      against: more label spaces to compare with.

    Raises:
      LabelSpaceError: where the space is of another dataset.
    """
    context.images.check(space)
    lines = [summary(space), with_images(space, context.images)]
    others = list(against)
    if context.target is not None:
        others.insert(0, dataclasses.replace(context.target, name=f"target {context.target.name}"))
    if others:
        lines.append(agreement_table(space, others, context.images))
    return "\n".join(lines)


def rank_sizes(card: LabelCard, context: Context) -> str:
    """A table of the card's numbers of clusters, the best first.

    Args:
      card: with a source of clusters; its `sizes` are the candidates.
      context: what for, see `card_context`.

    Raises:
      UsageError: where the card has no target.
    """
    if context.target is None:
        raise UsageError("--advise needs a target: --config.target.options.level=… or another")
    source, started = card.label, time.monotonic()
    ranking = advise(
        context.images,
        Embeddings.load(source.embeddings, source.ids),
        context.target,
        card.sizes,
        aligned=source.aligned,
        kmeans_spec=source.kmeans,
        spec=card.advise,
        seed=context.seed_of(source),
    )
    return f"{advice_table(ranking)}\n{time.monotonic() - started:.1f} s"
