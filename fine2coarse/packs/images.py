"""Images of a pack that lie one after another in one array: pixels of several sizes, or files."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class PackedImages:
    """N images in one array, mostly memory-mapped: what is not looked at takes no memory.

    Attributes:
      data: uint8 [bytes], the pixels of each image by rows and columns, or its file's bytes, one
        image after another.
      offsets: int64 [M + 1], where in `data` each of the M stored images begins, and where the
        last one ends.
      shapes: int32 [M, 2], height and width of each; None where files are stored.
      kept: int [N], which of the stored images these are; None for all.
    """

    data: np.ndarray
    offsets: np.ndarray
    shapes: np.ndarray | None = None
    kept: np.ndarray | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.offsets) - 1 if self.kept is None else len(self.kept)

    @property
    def dtype(self) -> np.dtype:
        """Of an image: uint8, or bytes where files are stored."""
        return np.dtype(np.bytes_ if self.is_encoded else np.uint8)

    @property
    def is_encoded(self) -> bool:
        """Whether files are stored, not pixels."""
        return self.shapes is None

    def rows(self, rows: np.ndarray) -> PackedImages:
        """Some of the images, int [n], in the order given; no pixel is read."""
        return dataclasses.replace(self, kept=rows if self.kept is None else self.kept[rows])

    def in_memory(self) -> PackedImages:
        """The same images with all that is stored read into memory."""
        return dataclasses.replace(self, data=np.array(self.data), offsets=np.array(self.offsets))

    def decoded(self, row: int) -> np.ndarray:
        """The pixels of an image, as a viewer shows it: uint8 [h, w, 3].

        Raises:
          UsageError: where a stored file cannot be decoded.
        """
        if self.is_encoded:
            from fine2coarse.input.pillow_decoding import decode_upright

            return decode_upright(self.encoded(row))
        height, width = self.shapes[self._stored(row)]
        return self._bytes(row).reshape(height, width, 3)

    def encoded(self, row: int) -> bytes:
        """The bytes of an image's file, where files are stored."""
        return self._bytes(row).tobytes()

    def __getitem__(self, row: tf.Tensor) -> tf.Tensor:
        """An image for TensorFlow, eagerly or inside tf.data: uint8 [h, w, 3], or scalar string."""
        import tensorflow as tf

        kind = tf.string if self.is_encoded else tf.uint8
        read = self.encoded if self.is_encoded else self.decoded
        # Not stateful: under deterministic operations TensorFlow makes every map that holds a
        # stateful operation run one call at a time.
        image = tf.numpy_function(read, [row], kind, stateful=False)
        return tf.ensure_shape(image, [] if self.is_encoded else [None, None, 3])

    def _stored(self, row: int) -> int:
        return int(row if self.kept is None else self.kept[row])

    def _bytes(self, row: int) -> np.ndarray:
        number = self._stored(row)
        return self.data[self.offsets[number] : self.offsets[number + 1]]
