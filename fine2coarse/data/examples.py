"""A split held in memory: images, labels, ids; and where each training position finds its image."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from fine2coarse.labels.space import LabelSpace, LabelSpaceError

# Up to this size a split of equally large images is kept decoded.
MAX_DECODED_BYTES = 2 * 1024**3


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Images of one split, in stored order.

    Attributes:
      images: uint8 [N, h, w, 3] where all images are of one size, else string [N] (encoded).
      image_ids: N unique ids.
      leaf_labels: int64 [N].
      hard: bool [N], or None where the dataset does not flag hard images.
    """

    images: tf.Tensor
    image_ids: tuple[str, ...]
    leaf_labels: np.ndarray
    hard: np.ndarray | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.image_ids)

    def labelled(self, space: LabelSpace) -> np.ndarray:
        """Labels of the images in a label space: int32 [N, M], padded with -1."""
        return space.lookup(self.leaf_labels, self.image_ids)

    def targets(self, space: LabelSpace, what: str = "the target") -> np.ndarray:
        """The one class of each image: int32 [N].

        Raises:
          LabelSpaceError: where an image has none or several.
        """
        labels = self.labelled(space)
        num_labels = (labels >= 0).sum(1)
        if np.any(num_labels != 1):
            raise LabelSpaceError(
                f"{what} ({space.name}) must give each image one class; it gives none to "
                f"{int((num_labels == 0).sum())} images and several to "
                f"{int((num_labels > 1).sum())}"
            )
        return labels[:, 0]


def load_examples(dataset: tf.data.Dataset) -> Examples:
    """Reads undecoded examples (as `PreparedDataset.read` gives them) into memory.

    Raises:
      ValueError: where there are none.
    """
    rows = list(dataset.as_numpy_iterator())
    if not rows:
        raise ValueError("the split holds no images")
    flagged = "hard" in rows[0]
    return Examples(
        images=_decoded_if_even([row["image"] for row in rows]),
        image_ids=tuple(row["image_id"].decode() for row in rows),
        leaf_labels=np.asarray([row["label"] for row in rows], np.int64),
        hard=np.asarray([row["hard"] for row in rows]) if flagged else None,
    )


def _decoded_if_even(encoded: list[bytes]) -> tf.Tensor:
    """All images decoded where they are equally large and fit; else as they are."""
    decode = functools.partial(tf.io.decode_image, channels=3, expand_animations=False)
    first = decode(encoded[0])
    strings = tf.constant(encoded)
    if len(encoded) * int(tf.size(first)) > MAX_DECODED_BYTES:
        return strings
    stack = np.empty((len(encoded), *first.shape), np.uint8)
    decoded = tf.data.Dataset.from_tensor_slices(strings).map(
        decode, num_parallel_calls=tf.data.AUTOTUNE
    )
    for position, pixels in enumerate(decoded.as_numpy_iterator()):
        if pixels.shape != stack.shape[1:]:
            return strings
        stack[position] = pixels
    return tf.constant(stack)
