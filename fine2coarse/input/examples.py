"""A split: labels and ids in memory, images in memory or on disk."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from fine2coarse.errors import UsageError
from fine2coarse.image_ids import ImageIds
from fine2coarse.input.decoding import decode_upright
from fine2coarse.input.stored import StoredImages
from fine2coarse.labels.grouping import rows_where
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
      image_ids: N unique ids; any sequence of str is taken, and kept as `ImageIds`.
      leaf_labels: int [N]; may be memory-mapped.
      hard: bool [N], or None where the dataset does not flag hard images.
    """

    images: tf.Tensor | StoredImages
    image_ids: Sequence[str]
    leaf_labels: np.ndarray
    hard: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Encodes the ids."""
        object.__setattr__(self, "image_ids", ImageIds.of(self.image_ids))

    def __len__(self) -> int:
        """Number of images."""
        return len(self.image_ids)

    @property
    def is_stored(self) -> bool:
        """Whether the images are left where they are stored."""
        return isinstance(self.images, StoredImages)

    @property
    def is_streamed(self) -> bool:
        """Whether a training reads shards in sequence instead of images at random places."""
        return self.stream_window_images > 0

    @property
    def stream_window_images(self) -> int:
        """Images a window, where they are streamed: it shapes the order. Else 0."""
        return self.images.window_images if self.is_stored else 0

    @property
    def holds_features(self) -> bool:
        """Whether features stand in the images' place."""
        return self.images.dtype == tf.float32

    def with_features(self, features: np.ndarray) -> Examples:
        """The same examples with features float32 [N, D] in the images' place."""
        with on_host():
            return dataclasses.replace(self, images=tf.constant(features, tf.float32))

    def subset(self, members: np.ndarray) -> Examples:
        """The images of a mask bool [N], in stored order."""
        rows = rows_where(members)
        with on_host():
            images = self.images.rows(rows) if self.is_stored else tf.gather(self.images, rows)
        return Examples(
            images=images,
            image_ids=self.image_ids.subset(rows),
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
        table = np.asarray([wanted.get(leaf, -1) for leaf in own], np.int32)
        labels = table[self.leaf_labels]
        unknown = sorted({own[label] for label in np.unique(self.leaf_labels[labels < 0])})
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
        num_labels = np.zeros(len(labels), np.int32)
        for column in labels.T:
            num_labels += column >= 0
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
        image_ids=[row["image_id"] for row in rows],
        leaf_labels=np.asarray([row["label"] for row in rows], np.int64),
        hard=np.asarray([row["hard"] for row in rows]) if flagged else None,
    )


def _decoded_if_even(encoded: list[bytes]) -> tf.Tensor:
    """All images decoded where they are equally large and fit; else as they are."""
    first = decode_upright(tf.constant(encoded[0]))
    with on_host():
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
    with on_host():
        return tf.constant(stack)


def on_host() -> contextlib.AbstractContextManager[None]:
    """Where arrays are made that batches are cut from: the host's memory.

    Gigabytes of images placed on a GPU would be copied back for each pass, and leave it no room.
    """
    return tf.device("CPU:0")
