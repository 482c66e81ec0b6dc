"""A split: labels and ids in memory, images in memory or on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from fine2coarse.errors import UsageError
from fine2coarse.input.decoding import decode_upright
from fine2coarse.input.stored import StoredImages
from fine2coarse.labels.space import LabelSpace, LabelSpaceError

# Up to this size a split of equally large images is kept decoded.
MAX_DECODED_BYTES = 2 * 1024**3


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Images of one split, in stored order.

    Attributes:
      images: uint8 [N, h, w, 3] where all images are of one size, else string [N] (encoded); or
        float32 [N, D], features in the images' place, which are passed on as they are; or
        `StoredImages`, left on disk.
      image_ids: N unique ids.
      leaf_labels: int64 [N].
      hard: bool [N], or None where the dataset does not flag hard images.
    """

    images: tf.Tensor | StoredImages
    image_ids: tuple[str, ...]
    leaf_labels: np.ndarray
    hard: np.ndarray | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.image_ids)

    @property
    def holds_features(self) -> bool:
        """Whether features stand in the images' place."""
        return self.images.dtype == tf.float32

    def with_features(self, features: np.ndarray) -> Examples:
        """The same examples with features float32 [N, D] in the images' place."""
        return dataclasses.replace(self, images=tf.constant(features, tf.float32))

    def subset(self, members: np.ndarray) -> Examples:
        """The images of a mask bool [N], in stored order."""
        rows = np.flatnonzero(members)
        stored = isinstance(self.images, StoredImages)
        return Examples(
            images=self.images.rows(rows) if stored else tf.gather(self.images, rows),
            image_ids=tuple(self.image_ids[row] for row in rows),
            leaf_labels=self.leaf_labels[rows],
            hard=None if self.hard is None else self.hard[rows],
        )

    def with_leaves(self, own: Sequence[str], wanted: Mapping[str, int]) -> Examples:
        """The same examples with their leaf labels numbered as in another taxonomy.

        Args:
          own: ids of the leaves that `leaf_labels` count.
          wanted: leaf labels of the other taxonomy, by the ids or names they go by.

        Raises:
          UsageError: where an image's class is not among those wanted.
        """
        table = np.asarray([wanted.get(leaf, -1) for leaf in own], np.int64)
        labels = table[self.leaf_labels]
        unknown = sorted({own[label] for label in self.leaf_labels[labels < 0]})
        if unknown:
            raise UsageError(
                f"{int((labels < 0).sum())} images to test on are of {len(unknown)} classes that "
                f"the training dataset does not have, such as {unknown[:3]}; its leaves are "
                f"called like {list(wanted)[:3]}"
            )
        return dataclasses.replace(self, leaf_labels=labels)

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
      UsageError: where there are none.
    """
    rows = list(dataset.as_numpy_iterator())
    if not rows:
        raise UsageError("the split holds no images")
    flagged = "hard" in rows[0]
    return Examples(
        images=_decoded_if_even([row["image"] for row in rows]),
        image_ids=tuple(row["image_id"].decode() for row in rows),
        leaf_labels=np.asarray([row["label"] for row in rows], np.int64),
        hard=np.asarray([row["hard"] for row in rows]) if flagged else None,
    )


def stored_examples(
    paths: Sequence[str],
    image_ids: Sequence[str],
    leaf_labels: np.ndarray,
    hard: np.ndarray | None,
) -> Examples:
    """Examples whose images stay on disk, in TFRecord shards as TFDS writes them.

    Args:
      paths: of the split's shards, in order.
      image_ids: N ids, in stored order.
      leaf_labels: int64 [N].
      hard: bool [N] or None.

    Raises:
      UsageError: where the shards hold another number of images.
    """
    images = StoredImages.index(paths)
    if len(images) != len(image_ids):
        raise UsageError(f"the shards hold {len(images)} images, expected {len(image_ids)}")
    return Examples(images, tuple(image_ids), leaf_labels, hard)


def _decoded_if_even(encoded: list[bytes]) -> tf.Tensor:
    """All images decoded where they are equally large and fit; else as they are."""
    first = decode_upright(tf.constant(encoded[0]))
    strings = tf.constant(encoded)
    if len(encoded) * int(tf.size(first)) > MAX_DECODED_BYTES:
        return strings
    stack = np.empty((len(encoded), *first.shape), np.uint8)
    decoded = tf.data.Dataset.from_tensor_slices(strings).map(
        decode_upright, num_parallel_calls=tf.data.AUTOTUNE
    )
    for position, pixels in enumerate(decoded.as_numpy_iterator()):
        if pixels.shape != stack.shape[1:]:
            return strings
        stack[position] = pixels
    return tf.constant(stack)
