"""What lies beside the records of a prepared dataset: its contents and its index.

Our own preparations write both. Of data that TFDS or earlier versions prepared they are made by
reading every image once, and kept: in the same folder, or where that takes no files in a cache.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from etils import epath

from fine2coarse.errors import UsageError
from fine2coarse.image_ids import ImageIds
from fine2coarse.preparation.contents import SplitContents, read_contents, write_contents
from fine2coarse.preparation.record_index import (
    TFRECORD,
    SplitIndex,
    cache_folder,
    read_index,
    record_places,
    scan_tfrecord,
    write_index,
)

if TYPE_CHECKING:
    from fine2coarse.datasets.prepared import PreparedDataset

_log = logging.getLogger(__name__)
_NUM_IMAGES_TOLD = 100_000


@dataclasses.dataclass(frozen=True, eq=False)
class StoredFacts:
    """What is known of every image without reading it.

    Attributes:
      contents: split → what each image shows.
      indexes: split → ids, labels and places.
    """

    contents: Mapping[str, SplitContents]
    indexes: Mapping[str, SplitIndex]


def stored_facts(dataset: PreparedDataset) -> StoredFacts:
    """Finds what is stored, or reads every image once and stores it.

    Raises:
      UsageError: where image ids repeat within a split, or a file of records is damaged.
    """
    folder, counts = dataset.builder.data_dir, dataset.splits
    places = (folder, cache_folder(folder))
    contents = _first(read_contents(place, counts) for place in places)
    indexes = _first(read_index(place, counts) for place in places)
    if contents is not None and indexes is not None:
        return StoredFacts(contents, indexes)
    num_images = sum(counts.values())
    if num_images >= _NUM_IMAGES_TOLD:
        _log.warning("reading the %d images of %s once, for their index", num_images, dataset.name)
    read = {split: _read_split(dataset, split) for split in counts}
    contents = {split: found for split, (found, _) in read.items()}
    indexes = {split: index for split, (_, index) in read.items()}
    for place in places:
        try:
            epath.Path(place).mkdir(parents=True, exist_ok=True)
            write_contents(place, contents)
            write_index(place, indexes)
        except (OSError, tf.errors.OpError) as error:
            _log.info("the index of %s is not kept in %s: %s", dataset.name, place, error)
        else:
            return StoredFacts(contents, read_index(place, counts) or indexes)
    return StoredFacts(contents, indexes)


def _first(found: Iterable[Any]) -> Any:
    return next((item for item in found if item is not None), None)


def _read_split(dataset: PreparedDataset, split: str) -> tuple[SplitContents, SplitIndex]:
    """Both, by one pass over the images."""
    columns = _Columns()
    contents = SplitContents.of_examples(columns.noting(dataset.read(split).as_numpy_iterator()))
    info = dataset.builder.info.splits[split]
    ids = ImageIds.of(columns.ids)
    if repeated := ids.duplicates():
        raise UsageError(
            f"{dataset.name}: image ids of split {split!r} repeat, such as {list(repeated[:3])}"
        )
    sizes = np.asarray(columns.sizes, np.int64)
    if dataset.file_format == TFRECORD:
        scanned = [scan_tfrecord(path) for path in map(os.fspath, info.filepaths)]
        lengths = [len(found) for found in scanned]
        sizes = np.concatenate([np.zeros(0, np.int64), *scanned])
    else:
        lengths = info.shard_lengths
    if sum(lengths) != len(ids):
        raise UsageError(
            f"{dataset.name}: the files of split {split!r} hold {sum(lengths)} records, but "
            f"{len(ids)} images were read; delete {dataset.builder.data_dir} and prepare it again"
        )
    index = SplitIndex(
        ids,
        np.asarray(columns.labels, np.int32),
        np.asarray(columns.hard, bool) if columns.hard else None,
        *record_places(sizes, lengths, dataset.file_format),
        sizes.astype(np.int32),
    )
    return contents, index


class _Columns:
    """What is noted of images while they go by."""

    def __init__(self) -> None:
        self.ids: list[bytes] = []
        self.labels: list[int] = []
        self.hard: list[bool] = []
        self.sizes: list[int] = []

    def noting(self, examples: Iterable[Mapping]) -> Iterator[Mapping]:
        for example in examples:
            self.ids.append(example["image_id"])
            self.labels.append(int(example["label"]))
            self.sizes.append(len(example["image"]))
            if "hard" in example:
                self.hard.append(bool(example["hard"]))
            yield example
