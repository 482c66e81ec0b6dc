"""A prepared dataset: what the rest of the package needs to know of a TFDS builder."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from fine2coarse.datasets.reading import undecoded
from fine2coarse.datasets.stored_facts import StoredFacts, stored_facts
from fine2coarse.errors import UsageError
from fine2coarse.preparation.contents import SplitContents, fingerprint
from fine2coarse.preparation.preparation_report import StoredReport
from fine2coarse.preparation.record_index import SplitIndex, joined
from fine2coarse.taxonomy.taxonomy import Taxonomy


class DatasetError(UsageError):
    """A dataset that is missing, unprepared or lacks what a study needs."""


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedDataset:
    """Stored images with leaf labels, and the taxonomy above the leaves.

    Attributes:
      builder: the prepared TFDS builder, with features `image`, `image_id`, `label` and, where
        images are flagged, `hard`.
      taxonomy: its leaves are the labels, in order.
    """

    builder: tfds.core.DatasetBuilder
    taxonomy: Taxonomy

    def __post_init__(self) -> None:
        """Checks the features and that there is data."""
        features = self.builder.info.features
        missing = {"image", "image_id", "label"} - set(features)
        if missing:
            raise DatasetError(f"{self.name}: features {sorted(missing)} are missing")
        if not self.splits:
            raise DatasetError(f"{self.name}: nothing is prepared in {self.builder.data_dir}")
        if features["label"].num_classes != self.taxonomy.num_leaves:
            raise DatasetError(
                f"{self.name}: {features['label'].num_classes} labels, but the taxonomy has "
                f"{self.taxonomy.num_leaves} leaves"
            )

        self._check_files()

    def _check_files(self) -> None:
        """Raises DatasetError where a file of records is missing."""
        folder = os.fspath(self.builder.data_dir)
        if "://" in folder:
            return
        present = {path.name for path in pathlib.Path(folder).iterdir()}
        for split in self.builder.info.splits.values():
            for path in map(pathlib.Path, split.filepaths):
                if path.name not in present and not path.exists():
                    raise DatasetError(
                        f"{self.name}: {path} is missing; delete the folder {folder} and run "
                        "the same command to prepare it again"
                    )

    @property
    def name(self) -> str:
        """Name, config and version, e.g. `demo/default/1.0.0`."""
        return self.builder.info.full_name

    @property
    def splits(self) -> Mapping[str, int]:
        """Number of images of each split."""
        return {name: split.num_examples for name, split in self.builder.info.splits.items()}

    def read(self, split: str) -> tf.data.Dataset:
        """Undecoded examples in stored order: image bytes, image_id, label and perhaps hard.

        Raises:
          DatasetError: on an unknown split.
        """
        self._check_split(split)
        return undecoded(self.builder, split)

    def index(self, split: str) -> SplitIndex:
        """Ids, labels, flags and places of a split, or of a part of one; nothing is decoded.

        Raises:
          DatasetError: on an unknown split.
        """
        first = self._first_shards(split)
        whole = self._stored.indexes
        found = [whole[name].take(rows).moved(first[name]) for name, rows in self._parts(split)]
        return found[0] if len(found) == 1 else joined(found)

    def paths(self, split: str) -> tuple[str, ...]:
        """The files that the index of a split counts (`SplitIndex.shard`)."""
        splits = self.builder.info.splits
        return tuple(
            os.fspath(path) for name in self._first_shards(split) for path in splits[name].filepaths
        )

    def _first_shards(self, split: str) -> dict[str, int]:
        """Of each split that a split's name is made of, the number of its first file."""
        first, count = {}, 0
        for name, _ in self._parts(split):
            if name not in first:
                first[name] = count
                count += len(self.builder.info.splits[name].filepaths)
        return first

    @property
    def file_format(self) -> str:
        """Of the records, as TFDS calls it, e.g. 'tfrecord'."""
        return self.builder.info.file_format.value

    def _parts(self, split: str) -> list[tuple[str, slice]]:
        """The splits, and the rows of each, that a split's name stands for, as in `train[:50%]`."""
        self._check_split(split)
        parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(self.builder.info.splits)
        found = []
        for part in parts:
            begin, end, _ = slice(part.from_, part.to).indices(self.splits[part.splitname])
            found.append((part.splitname, slice(begin, end)))
        return found

    def _check_split(self, split: str) -> None:
        if split.split("[")[0] not in self.splits:
            hint = getattr(self.builder, "MISSING_SPLIT_HINT", "")
            raise DatasetError(
                f"{self.name} has no split {split!r}; it has {sorted(map(str, self.splits))}{hint}"
            )

    @functools.cached_property
    def _stored(self) -> StoredFacts:
        return stored_facts(self)

    @property
    def contents(self) -> Mapping[str, SplitContents]:
        """What each split holds, image by image.

        Data that our own builders prepared comes with it, and with the index; of other data both
        are made by reading it once, and kept (see `stored_facts`).
        """
        return self._stored.contents

    def preparation(self) -> StoredReport | None:
        """How the images were prepared; None of data that our own builders did not prepare."""
        return StoredReport.find(self.builder.data_dir)

    def digests(self, split: str) -> np.ndarray:
        """What each image of a split, or of a part of one, shows: uint64 [N, 2], stored order."""
        found = [self.contents[name].digests[rows] for name, rows in self._parts(split)]
        return found[0] if len(found) == 1 else np.concatenate(found)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the taxonomy and every image's id, leaf label, flag, split and bytes.

        Neither where the data lies nor what it was prepared from is part of it.
        """
        return fingerprint(self.taxonomy.fingerprint, self.contents)
