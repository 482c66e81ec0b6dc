"""A split: labels and ids in memory, images in memory, on disk or on the devices."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fine2coarse.errors import UsageError
from fine2coarse.image_ids import ImageIds
from fine2coarse.input.array_images import ArrayImages
from fine2coarse.labels.grouping import rows_where
from fine2coarse.labels.space import LabelSpace, LabelSpaceError

if TYPE_CHECKING:
    import tensorflow as tf

# Up to this size a split of equally large images is kept decoded.
MAX_DECODED_BYTES = 2 * 1024**3


class ImageRows(Protocol):
    """Images that are read by their rows: `StoredImages`, `ArrayImages` or a pack's."""

    def __len__(self) -> int:
        """Number of images."""

    def rows(self, rows: np.ndarray) -> ImageRows:
        """Some of the images, int [n], in the order given."""


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Images of one split, in stored order.

    Attributes:
      images: uint8 [N, h, w, 3] where all images are of one size, else string [N] (encoded); or
        float32 [N, D], features in the images' place, which are passed on as they are. A tensor,
        or (but for strings) an array, perhaps memory-mapped; or images left where they are stored:
        `StoredImages` (records, TensorFlow alone), `ArrayImages`, those of a pack.
      image_ids: N unique ids; any sequence of str is taken, and kept as `ImageIds`.
      leaf_labels: int [N]; may be memory-mapped.
      hard: bool [N], or None where the dataset does not flag hard images.
      on_device: whether training keeps all images on its devices; for uint8 [N, h, w, 3] alone,
        which are then an array.

    Raises:
      UsageError: where images of several sizes, or features, are to be kept on the devices.
    """

    images: tf.Tensor | np.ndarray | ImageRows
    image_ids: Sequence[str]
    leaf_labels: np.ndarray
    hard: np.ndarray | None = None
    on_device: bool = False

    def __post_init__(self) -> None:
        """Encodes the ids."""
        object.__setattr__(self, "image_ids", ImageIds.of(self.image_ids))
        if not self.on_device:
            return
        shape = getattr(self.images, "shape", ())
        if self.dtype_name != "uint8" or len(shape) != 4:
            raise UsageError(
                "dataset.storage=device needs images of one size, uint8 [N, h, w, 3], got "
                f"{self.dtype_name} {list(shape)}: pack them as squares (launch/pack.py "
                "--pixels=squares), or set dataset.storage=memory"
            )
        if not isinstance(self.images, (np.ndarray, ArrayImages)):
            object.__setattr__(self, "images", np.asarray(self.images))

    def __len__(self) -> int:
        """Number of images."""
        return len(self.image_ids)

    @property
    def is_stored(self) -> bool:
        """Whether the images are left where they are stored."""
        return hasattr(self.images, "rows")

    @property
    def is_streamed(self) -> bool:
        """Whether a training reads shards in sequence instead of images at random places."""
        return self.stream_window_images > 0

    @property
    def stream_window_images(self) -> int:
        """Images a window, where they are streamed: it shapes the order. Else 0."""
        return getattr(self.images, "window_images", 0)

    @property
    def holds_features(self) -> bool:
        """Whether features stand in the images' place."""
        return self.dtype_name == "float32"

    @property
    def dtype_name(self) -> str:
        """Of a pixel or a feature, 'uint8' or 'float32'; 'string' or 'bytes' of encoded images."""
        return self.images.dtype.name

    @functools.cached_property
    def images_for_tensorflow(self) -> tf.Tensor | ImageRows:
        """The images as `tf.data` takes them: an array as a tensor on the host, where it fits."""
        if not isinstance(self.images, (np.ndarray, ArrayImages)):
            return self.images
        images = ArrayImages.of(self.images)
        if images.nbytes > MAX_DECODED_BYTES:
            return images
        import tensorflow as tf

        with on_host():
            return tf.constant(images.array if images.kept is None else images.array[images.kept])

    def with_features(self, features: np.ndarray) -> Examples:
        """The same examples with features float32 [N, D] in the images' place."""
        features = np.asarray(features, np.float32)
        return dataclasses.replace(self, images=features, on_device=False)

    def subset(self, members: np.ndarray) -> Examples:
        """The images of a mask bool [N], in stored order."""
        rows = rows_where(members)
        return Examples(
            images=self._images_of(rows),
            image_ids=self.image_ids.subset(rows),
            leaf_labels=self.leaf_labels[rows],
            hard=None if self.hard is None else self.hard[rows],
            on_device=self.on_device,
        )

    def _images_of(self, rows: np.ndarray) -> tf.Tensor | ImageRows:
        """The images of some rows; of what is stored or an array, nothing is read."""
        if self.is_stored:
            return self.images.rows(rows)
        if isinstance(self.images, np.ndarray):
            return ArrayImages(self.images, rows)
        import tensorflow as tf

        with on_host():
            return tf.gather(self.images, rows)

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
    import tensorflow as tf

    from fine2coarse.input.decoding import decode_upright

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
    import tensorflow as tf

    return tf.device("CPU:0")
