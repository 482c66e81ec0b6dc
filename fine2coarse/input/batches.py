"""Batches {image, label, weight}: endless and reproducible to train on, exact to evaluate on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from fine2coarse.input.augment_ranges import TEST_CROP
from fine2coarse.input.augmentation import eval_image, train_image
from fine2coarse.input.epoch_order import SHUFFLE_PADDING, SHUFFLE_ROUNDS
from fine2coarse.input.examples import Examples, on_host
from fine2coarse.input.shard import WHOLE, Shard, num_cores
from fine2coarse.input.stored import NUM_REQUESTS
from fine2coarse.input.stream import Stream
from fine2coarse.labels.space import LabelSpaceError
from fine2coarse.recipes.phase_spec import AugmentSpec

__all__ = ["Batch", "Shard", "eval_batches", "num_cores", "own_share", "train_batches"]

Batch = dict[str, tf.Tensor]
_NUM_CORES = num_cores()
# Images are passed on in order: while one takes its time, as many more may be under way or done.
_PARALLEL_CALLS = 8 * _NUM_CORES


def train_batches(
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
    shard: Shard = WHOLE,
) -> tf.data.Dataset:
    """Training batches of the steps [first_step, num_steps).

    Position p shows image `shuffle(p mod N)` of epoch p // N, where the shuffle and every random
    change of the image depend on (seed, p) alone; images that are streamed are shuffled as
    `stream_order` says. Starting at `first_step` gives exactly the batches an uninterrupted run
    would have seen from there, and any number of hosts together see exactly what one alone would.

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
      shard: what this host reads of each batch.

    Returns:
      Batches of image float32 [b, S, S, 3], label int32 [b, M], weight float32 [b] (ones) and,
      with mixup, own_share float32 [b] (see `losses.mix_pairs`); b is the size of a piece.

    Raises:
      LabelSpaceError: where no image has a label.
    """
    covered = np.flatnonzero((labels >= 0).any(1))
    if not len(covered):
        raise LabelSpaceError("the label space covers no image of the training split")
    with on_host():
        rows, table = tf.constant(covered, tf.int64), tf.constant(labels, tf.int32)
        last = tf.constant(len(covered) - 1, tf.int64)

    def row_at(position: tf.Tensor) -> tf.Tensor:
        epoch, place = position // len(covered), position % len(covered)
        return tf.gather(rows, _shuffled(place, seed, epoch, last))

    def example(position: tf.Tensor, row: tf.Tensor, image: tf.Tensor) -> Batch:
        image_seed = tf.stack([tf.constant(seed, tf.int64), position * 2])
        if not examples.holds_features:
            image = train_image(image, image_seed, image_size_px, augment)
        found = {"image": image, "label": table[row], "weight": tf.constant(1.0)}
        if mixup:
            found["own_share"] = own_share(seed, position // 2, mixup)
        return found

    part = _Part(batch_size, range(first_step, num_steps), shard)
    num_waiting = _num_waiting(examples)
    if examples.is_streamed:
        streamed = Stream(examples.images, covered, batch_size=batch_size, seed=seed)
        found = streamed.images(part.steps, part.start, part.size)
        num_waiting = streamed.order.num_lanes
        found = tf.data.Dataset.zip(part.positions(), found).map(
            _traced_fast(lambda position, found: example(position, *found)),
            num_parallel_calls=_PARALLEL_CALLS,
        )
    else:
        found = _read_and_map(examples, part, row_at, example)
    return _batched(found, part.size // shard.pieces, num_waiting)


def _shuffled(place: tf.Tensor, seed: int, epoch: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """`tf.random.experimental.index_shuffle` by (seed, epoch), of one place or of several.

    Its own code pads seeds of several places along the wrong axis (TensorFlow 2.21).
    """
    padding = tf.fill(tf.shape(epoch), tf.constant(SHUFFLE_PADDING, tf.int64))
    seeds = tf.stack([padding, tf.zeros_like(epoch) + seed, epoch], -1)
    return tf.raw_ops.RandomIndexShuffle(
        index=place, seed=seeds, max_index=last, rounds=SHUFFLE_ROUNDS
    )


def own_share(seed: int, pair: tf.Tensor, alpha: float) -> tf.Tensor:
    """A scalar float32 draw of Beta(alpha, alpha) for a pair of positions."""
    pair_seed = tf.random.experimental.stateless_fold_in(
        tf.stack([tf.constant(seed, tf.int64), pair]), 1
    )
    gammas = tf.random.stateless_gamma([2], pair_seed, alpha)
    return gammas[0] / tf.maximum(gammas[0] + gammas[1], 1e-30)


def eval_batches(
    examples: Examples,
    labels: np.ndarray,
    *,
    batch_size: int,
    image_size_px: int,
    shard: Shard = WHOLE,
    random_crop: int | None = None,
) -> tf.data.Dataset:
    """Every image once, in stored order; the last batch is padded with weight 0.

    Args:
      examples: the split.
      labels: int32 [N, M], padded with -1.
      batch_size: images a batch, over all replicas.
      image_size_px: side of the images.
      shard: what this host reads of each batch.
      random_crop: number of a random view (Inception crop and flip) in place of the central
        crop; the same number shows the same view.

    Returns:
      As `train_batches`; the weights sum to N.
    """
    num_batches = -(-len(examples) // batch_size)
    with on_host():
        table = tf.constant(labels, tf.int32)

    def view(image: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        if examples.holds_features:
            return image
        if random_crop is None:
            return eval_image(image, image_size_px)
        seed = tf.stack([tf.constant(random_crop, tf.int64), row * 2])
        return train_image(image, seed, image_size_px, TEST_CROP)

    def row_at(position: tf.Tensor) -> tf.Tensor:
        return tf.minimum(position, len(examples) - 1)

    def example(position: tf.Tensor, row: tf.Tensor, image: tf.Tensor) -> Batch:
        return {
            "image": view(image, row),
            "label": table[row],
            "weight": tf.cast(position < len(examples), tf.float32),
        }

    part = _Part(batch_size, range(num_batches), shard)
    found = _read_and_map(examples, part, row_at, example)
    num_waiting = _num_waiting(examples)
    return _batched(found, part.size // shard.pieces, num_waiting)


def _num_waiting(examples: Examples) -> int:
    """How many calls may wait for a disk at the same time."""
    return 0 if tf.is_tensor(examples.images_for_tensorflow) else NUM_REQUESTS


class _Part:
    """What one host reads of some batches.

    Args:
      batch_size: images a batch, over all hosts.
      steps: numbers of the batches.
      shard: which part of each.
    """

    def __init__(self, batch_size: int, steps: range, shard: Shard) -> None:
        self.batch_size, self.steps = batch_size, steps
        self.size = shard.part_size(batch_size)
        self.start = shard.index * self.size

    def positions(self) -> tf.data.Dataset:
        """Of its images, in the order of the whole stream: scalars int64."""
        numbers = tf.data.Dataset.range(self.steps.start * self.size, self.steps.stop * self.size)
        return numbers.map(_traced_fast(self.position))

    def position(self, number: tf.Tensor) -> tf.Tensor:
        """The position of image `number` of this part, counted over all batches."""
        return (number // self.size) * self.batch_size + self.start + number % self.size


def _read_and_map(
    examples: Examples,
    part: _Part,
    row_at: Callable[[tf.Tensor], tf.Tensor],
    example: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Batch],
) -> tf.data.Dataset:
    """The examples at a part's positions: each read by its row, on all cores.

    Args:
      examples: the split.
      part: which positions.
      row_at: positions int64 [...] to rows.
      example: position, row and stored image to an element of a batch.
    """

    def from_memory(position: tf.Tensor) -> Batch:
        row = row_at(position)
        return example(position, row, images[row])

    def from_storage(positions: tf.Tensor) -> tuple[tf.Tensor, ...]:
        rows = row_at(positions)
        return positions, rows, images.gather(rows)

    images, positions = examples.images_for_tensorflow, part.positions()
    if not hasattr(images, "gather"):
        return positions.map(_traced_fast(from_memory), num_parallel_calls=_PARALLEL_CALLS)
    read = positions.batch(images.read_at_once).map(
        _traced_fast(from_storage), num_parallel_calls=NUM_REQUESTS
    )
    return read.unbatch().map(_traced_fast(example), num_parallel_calls=_PARALLEL_CALLS)


_traced_fast = tf.autograph.experimental.do_not_convert  # no tensor decides a branch here


def _batched(examples: tf.data.Dataset, batch_size: int, num_waiting: int = 0) -> tf.data.Dataset:
    """Batches, in order.

    Args:
      examples: elements of the batches.
      batch_size: of each.
      num_waiting: calls that may wait for a disk or a bucket at the same time, for which there are
        threads besides those that decode.
    """
    options = tf.data.Options()
    if num_waiting:
        options.threading.private_threadpool_size = _NUM_CORES + num_waiting
    options.deterministic = True
    # Letting go of an iterator waits for the tuning thread, which may sleep through being told to
    # stop.
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    batches = examples.batch(batch_size, drop_remainder=True)
    return batches.with_options(options).prefetch(2)
