"""What the label spaces of a study are made for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fine2coarse.input.examples import Examples
from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.spec import Context
from fine2coarse.taxonomy.taxonomy import Taxonomy

if TYPE_CHECKING:
    from fine2coarse.datasets.prepared import PreparedDataset


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


def indexed_context(
    dataset: PreparedDataset, train_split: str, other_splits: Sequence[str] = ()
) -> Context:
    """The same from a prepared dataset, without reading a pixel.

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
