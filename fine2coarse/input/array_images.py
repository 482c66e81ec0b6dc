"""Rows of one array of equally large images, perhaps memory-mapped: none is copied unasked."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayImages:
    """N images of an array, or features in their place.

    Attributes:
      array: uint8 [M, h, w, 3] or float32 [M, D]; may be memory-mapped.
      kept: int [N], which of its rows these are; None for all.
    """

    array: np.ndarray
    kept: np.ndarray | None = None

    read_at_once = 32
    """How many images one call of a `tf.data` pipeline should read."""

    @classmethod
    def of(cls, images: np.ndarray | ArrayImages) -> ArrayImages:
        """The same images as an `ArrayImages`."""
        return images if isinstance(images, ArrayImages) else cls(images)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.array if self.kept is None else self.kept)

    @property
    def dtype(self) -> np.dtype:
        """Of a pixel or a feature."""
        return self.array.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """N, and the shape of an image."""
        return (len(self), *self.array.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of the N images."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def rows(self, rows: np.ndarray) -> ArrayImages:
        """Some of the images, int [n], in the order given; no pixel is read."""
        return dataclasses.replace(self, kept=self.stored_rows(rows))

    def stored_rows(self, rows: np.ndarray) -> np.ndarray:
        """The rows of `array` that hold some of the images, int [n]."""
        return rows if self.kept is None else self.kept[rows]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Some of the images, int [n], in memory: [n, ...]."""
        return self.array[self.stored_rows(rows)]

    def __getitem__(self, row: int) -> np.ndarray:
        """The image of a row."""
        return self.array[self.stored_rows(row)]

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """The images of some rows, int64 [n]: [n, ...]; eagerly or inside tf.data."""
        import tensorflow as tf

        # Not stateful: see `stored.StoredImages.gather`.
        found = tf.numpy_function(self.take, [rows], self.dtype, stateful=False)
        return tf.ensure_shape(found, [*rows.shape, *self.array.shape[1:]])
