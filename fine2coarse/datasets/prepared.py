"""A prepared dataset: what the rest of the package needs to know of a TFDS builder."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from fine2coarse.errors import UsageError
from fine2coarse.preparation.contents import (
    SplitContents,
    fingerprint,
    read_contents,
    store_contents,
)
from fine2coarse.preparation.preparation_report import StoredReport
from fine2coarse.taxonomy.taxonomy import Taxonomy

_LOGGER = logging.getLogger(__name__)
_NUM_IMAGES_TOLD = 100_000


class DatasetError(UsageError):
    """A dataset that is missing, unprepared or lacks what a study needs."""


@dataclasses.dataclass(frozen=True, eq=False)
class SplitIndex:
    """Who the images of a split are, in stored order, without their pixels.

    Attributes:
      image_ids: N unique ids.
      labels: int64 [N], the leaf label of each.
      hard: bool [N], or None where the dataset does not flag hard images.
    """

    image_ids: tuple[str, ...]
    labels: np.ndarray
    hard: np.ndarray | None


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
        if split.split("[")[0] not in self.splits:
            hint = getattr(self.builder, "MISSING_SPLIT_HINT", "")
            raise DatasetError(
                f"{self.name} has no split {split!r}; it has {sorted(self.splits)}{hint}"
            )
        return self.builder.as_dataset(
            split=split,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        )

    def index(self, split: str) -> SplitIndex:
        """Ids, labels and flags of a split (the pixels are not decoded)."""
        rows = [
            (example["image_id"].decode(), example["label"], example.get("hard"))
            for example in self.read(split).as_numpy_iterator()
        ]
        ids, labels, hard = zip(*rows, strict=True) if rows else ((), (), ())
        if len(set(ids)) != len(ids):
            raise DatasetError(f"{self.name}: image ids of split {split!r} repeat")
        flagged = "hard" in self.builder.info.features
        return SplitIndex(ids, np.asarray(labels, np.int64), np.asarray(hard) if flagged else None)

    @functools.cached_property
    def contents(self) -> Mapping[str, SplitContents]:
        """What each split holds, image by image.

        Data that our own builders prepared comes with it; of other data it is read once, and kept
        beside the records where they lie in a folder that can be written.
        """
        folder = self.builder.data_dir
        found = read_contents(folder, self.splits)
        if found is None:
            num_images = sum(self.splits.values())
            if num_images >= _NUM_IMAGES_TOLD:
                _LOGGER.warning(
                    "reading the %d images of %s once, for their fingerprint", num_images, self.name
                )
            found = {
                split: SplitContents.of_examples(self.read(split).as_numpy_iterator())
                for split in self.splits
            }
            store_contents(folder, found)
        return found

    def preparation(self) -> StoredReport | None:
        """How the images were prepared; None of data that our own builders did not prepare."""
        return StoredReport.find(self.builder.data_dir)

    def digests(self, split: str) -> np.ndarray:
        """What each image of a split, or of a part of one, shows: uint64 [N, 2], stored order."""
        parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(self.builder.info.splits)
        return np.concatenate(
            [self.contents[part.splitname].digests[part.from_ : part.to] for part in parts]
        )

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the taxonomy and every image's id, leaf label, flag, split and bytes.

        Neither where the data lies nor what it was prepared from is part of it.
        """
        return fingerprint(self.taxonomy.fingerprint, self.contents)
