"""What an engine trains and evaluates on: batches of the host, and what becomes of them in a step.

Three feeds show the same images in the same order:

- TensorFlow's (`batches.py`), where TensorFlow is installed: everything happens on the host;
- arrays (`array_batches.py`), without TensorFlow: the host gathers and decodes, the compiled step
  crops, shifts, mirrors and augments;
- the devices' own memory (`Examples.on_device`): the host names rows, the step does the rest.

Random changes are drawn by (seed, position) in all of them: from one generator in TensorFlow's
feed, from another in the other two, which agree with each other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from fine2coarse import keras_settings
from fine2coarse.backend_start import hide_accelerators_from_tensorflow
from fine2coarse.errors import UsageError
from fine2coarse.input.array_batches import ArrayBatches, Reader, RowReader, ViewReader
from fine2coarse.input.array_images import ArrayImages
from fine2coarse.input.augment_ranges import TEST_CROP
from fine2coarse.input.epoch_order import EpochOrder
from fine2coarse.input.examples import Examples
from fine2coarse.input.mixup_shares import own_shares
from fine2coarse.input.random_bits import Array, position_keys
from fine2coarse.input.shard import Shard
from fine2coarse.labels.space import LabelSpaceError
from fine2coarse.recipes.phase_spec import AugmentSpec

Gather = Callable[[Array], Array]
_PASSED_ON = ("label", "weight", "own_share")


@dataclasses.dataclass(frozen=True)
class Preparation:
    """What the compiled step makes of a host's batch; equal ones do the same.

    Attributes:
      image_size_px: S, side of the images.
      augment: random changes; None for the central square, as in evaluation.
    """

    image_size_px: int
    augment: AugmentSpec | None = None

    def __call__(self, batch: Mapping[str, Array], gather: Gather | None) -> dict[str, Array]:
        """The batch that a model is given.

        Args:
          batch: image uint8 [b, h, w, 3], or row int32 [b] of the resident images; key uint32
            [b, 2] where anything is random; label, weight and perhaps own_share.
          gather: rows int32 [b] to resident images uint8 [b, h, w, 3]; None where none are
            resident.

        Returns:
          The same label, weight and own_share, and image float32 [b, S, S, 3] in [0, 1].
        """
        from fine2coarse.input.step_augmentation import augmented, central

        pixels = batch["image"] if "image" in batch else gather(batch["row"])
        if self.augment is None:
            image = central(pixels, self.image_size_px)
        else:
            image = augmented(pixels, batch["key"], self.image_size_px, self.augment)
        return {"image": image, **{name: batch[name] for name in _PASSED_ON if name in batch}}


@dataclasses.dataclass(frozen=True, eq=False)
class Feed:
    """Batches, and what becomes of them in the compiled step.

    Attributes:
      batches: a host's part of each batch, piece by piece: a `tf.data.Dataset`, or an iterable of
        dicts of NumPy arrays, the same at each pass. Raises UsageError where the batch does not
        divide evenly.
      prepare: (batch, gather) to image float32 [b, S, S, 3], label int32 [b, M], weight float32
        [b] and, with mixup, own_share float32 [b]; traced inside the step, in `keras.ops` alone.
        None where the batches are such already.
      resident: uint8 [N, h, w, 3], which the engine places on its devices once; the same array in
        all feeds of a split and of its parts. `gather` takes rows int32 [b] of it.
    """

    batches: Callable[[Shard], Iterable[Mapping[str, Any]]]
    prepare: Callable[[Mapping[str, Any], Gather | None], Mapping[str, Any]] | None = None
    resident: np.ndarray | None = None


def train_feed(
    examples: Examples,
    labels: np.ndarray,
    *,
    batch_size: int,
    num_steps: int,
    image_size_px: int,
    augment: AugmentSpec,
    seed: int,
    first_step: int = 0,
    mixup: float = 0.0,
) -> Feed:
    """Training batches of the steps [first_step, num_steps).

    Position p shows image `EpochOrder.places(p)` of those with a label; starting at `first_step`
    gives exactly the batches an uninterrupted run would have seen from there, and any number of
    hosts together see exactly what one alone would.

    Args:
      examples: the split.
      labels: int32 [N, M], padded with -1; images without any label are left out.
      batch_size: images a batch, over all replicas.
      num_steps: steps of the whole run.
      image_size_px: side of the images.
      augment: random changes.
      seed: of order and augmentation.
      first_step: where to start.
      mixup: alpha of mixup's Beta distribution; 0 for none.

    Raises:
      LabelSpaceError: where no image has a label.
      UsageError: where the images cannot be read without TensorFlow, which is not installed.
    """
    covered = np.flatnonzero((labels >= 0).any(1))
    if not len(covered):
        raise LabelSpaceError("the label space covers no image of the training split")
    if _is_fed_by_tensorflow(examples):
        hide_accelerators_from_tensorflow()
        from fine2coarse.input.batches import train_batches

        return Feed(
            lambda shard: train_batches(
                examples,
                labels,
                batch_size=batch_size,
                num_steps=num_steps,
                image_size_px=image_size_px,
                augment=augment,
                seed=seed,
                first_step=first_step,
                mixup=mixup,
                shard=shard,
            )
        )
    order = EpochOrder(len(covered), seed)

    def describe(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        rows = covered[order.places(positions)]
        batch = _labelled(labels, rows, np.ones(len(rows), np.float32))
        if mixup:
            batch["own_share"] = own_shares(seed, positions, mixup)
        return rows, position_keys(seed, positions), batch

    steps = range(first_step, num_steps)
    return _array_feed(examples, batch_size, steps, describe, image_size_px, augment)


def eval_feed(
    examples: Examples,
    labels: np.ndarray,
    *,
    batch_size: int,
    image_size_px: int,
    random_crop: int | None = None,
) -> Feed:
    """Every image once, in stored order; the last batch is padded with weight 0.

    Args:
      examples: the split.
      labels: int32 [N, M], padded with -1.
      batch_size: images a batch, over all replicas.
      image_size_px: side of the images.
      random_crop: number of a random view (Inception crop and flip) in place of the central
        crop; the same number shows the same view.

    Raises:
      UsageError: where the images cannot be read without TensorFlow, which is not installed.
    """
    if _is_fed_by_tensorflow(examples):
        hide_accelerators_from_tensorflow()
        from fine2coarse.input.batches import eval_batches

        return Feed(
            lambda shard: eval_batches(
                examples,
                labels,
                batch_size=batch_size,
                image_size_px=image_size_px,
                shard=shard,
                random_crop=random_crop,
            )
        )

    def describe(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        rows = np.minimum(positions, len(examples) - 1)
        weights = (positions < len(examples)).astype(np.float32)
        return rows, position_keys(random_crop or 0, rows), _labelled(labels, rows, weights)

    steps = range(-(-len(examples) // batch_size))
    augment = None if random_crop is None else TEST_CROP
    return _array_feed(examples, batch_size, steps, describe, image_size_px, augment)


def augments_in_step(examples: Examples) -> bool:
    """Whether the feeds of some examples leave random changes to the compiled step.

    tf.data draws others, from a generator of its own.
    """
    return not _is_fed_by_tensorflow(examples)


def _is_fed_by_tensorflow(examples: Examples) -> bool:
    return keras_settings.has_tensorflow() and not examples.on_device


def _labelled(labels: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    return {"label": np.asarray(labels[rows], np.int32), "weight": weights}


def _array_feed(
    examples: Examples,
    batch_size: int,
    steps: range,
    describe: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]],
    image_size_px: int,
    augment: AugmentSpec | None,
) -> Feed:
    """Batches without TensorFlow."""
    if examples.on_device:
        images = ArrayImages.of(examples.images)
        prepare, reader = Preparation(image_size_px, augment), None
    else:
        images = None
        reader, prepare = _reader(examples, image_size_px, augment)
    is_random = prepare is not None and prepare.augment is not None

    def described(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        rows, keys, batch = describe(positions)
        if images is not None:
            batch["row"] = np.asarray(images.stored_rows(rows), np.int32)
        if is_random:
            batch["key"] = keys
        return rows, keys, batch

    def batches(shard: Shard) -> ArrayBatches:
        return ArrayBatches(batch_size, steps, shard, described, reader)

    return Feed(batches, prepare, None if images is None else images.array)


def _reader(
    examples: Examples, image_size_px: int, augment: AugmentSpec | None
) -> tuple[Reader, Preparation | None]:
    """What reads the images on the host, and what is left to the step.

    Raises:
      UsageError: where they cannot be read without TensorFlow.
    """
    images = examples.images
    if isinstance(images, (np.ndarray, ArrayImages)):
        prepare = None if examples.holds_features else Preparation(image_size_px, augment)
        return RowReader(ArrayImages.of(images)), prepare
    if not hasattr(images, "decoded"):
        raise UsageError(
            f"images of the kind {type(images).__name__} are read by TensorFlow, which is not "
            "installed: pack the dataset (launch/pack.py) where it is, and give --packed=DIR"
        )
    if augment is not None and augment.crop == "inception":
        reader = ViewReader(images, image_size_px, augment.min_area)
        augment = dataclasses.replace(augment, crop="none")
    else:
        reader = ViewReader(images, image_size_px, None)
    return reader, Preparation(image_size_px, augment)
