"""What a prepared dataset offers to those that read its images; `datasets/` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fine2coarse.image_ids import ImageIds
from fine2coarse.taxonomy.taxonomy import Taxonomy

if TYPE_CHECKING:
    import tensorflow as tf


class ImageColumns(Protocol):
    """Who the images of a split are, in stored order.

    Attributes:
      image_ids: N unique ids.
      labels: int [N], the leaf label of each.
      hard: bool [N], or None where the dataset does not flag hard images.
    """

    image_ids: ImageIds
    labels: np.ndarray
    hard: np.ndarray | None


class PreparedImages(Protocol):
    """A dataset whose images are stored: `datasets.prepared.PreparedDataset`, or the like."""

    @property
    def taxonomy(self) -> Taxonomy:
        """Its leaves are the labels, in order."""

    @property
    def name(self) -> str:
        """Name, config and version, e.g. `demo/default/1.0.0`."""

    @property
    def fingerprint(self) -> str:
        """Of the taxonomy and every image."""

    @property
    def splits(self) -> Mapping[str, int]:
        """Number of images of each split."""

    def read(self, split: str) -> tf.data.Dataset:
        """Undecoded examples in stored order: image bytes, image_id, label and perhaps hard."""

    def index(self, split: str) -> ImageColumns:
        """Ids, labels and flags of a split."""
