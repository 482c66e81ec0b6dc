"""Batches {image, label, weight}: endless and reproducible to train on, exact to evaluate on."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from fine2coarse.data.examples import Examples
from fine2coarse.data.images import AugmentSpec, eval_image, train_image
from fine2coarse.labels.space import LabelSpaceError

Batch = dict[str, tf.Tensor]


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
) -> tf.data.Dataset:
    """Training batches of the steps [first_step, num_steps).

    Position p of the stream shows image `shuffle(p mod N)` of epoch p // N, where the shuffle
    and every random change of the image depend on (seed, p) alone. Starting at `first_step`
    gives exactly the batches an uninterrupted run would have seen from there.

    Args:
      examples: the split.
      labels: int32 [N, M], padded with -1; images without any label are left out.
      batch_size: images a batch, over all replicas.
      num_steps: steps of the whole run.
      image_size_px: side of the images.
      augment: random changes.
      seed: of order and augmentation.
      first_step: where to start.

    Returns:
      Batches of image float32 [B, S, S, 3], label int32 [B, M], weight float32 [B] (ones).

    Raises:
      LabelSpaceError: where no image has a label.
    """
    covered = np.flatnonzero((labels >= 0).any(1))
    if not len(covered):
        raise LabelSpaceError("the label space covers no image of the training split")
    rows, table = tf.constant(covered, tf.int64), tf.constant(labels, tf.int32)
    last = tf.constant(len(covered) - 1, tf.int64)

    def example(position: tf.Tensor) -> Batch:
        epoch, place = position // len(covered), position % len(covered)
        order_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
        row = rows[tf.random.experimental.index_shuffle(place, order_seed, last)]
        image_seed = tf.stack([tf.constant(seed, tf.int64), position * 2])
        image = train_image(examples.images[row], image_seed, image_size_px, augment)
        return {"image": image, "label": table[row], "weight": tf.constant(1.0)}

    positions = tf.data.Dataset.range(first_step * batch_size, num_steps * batch_size)
    return _batched(positions.map(example, num_parallel_calls=tf.data.AUTOTUNE), batch_size)


def eval_batches(
    examples: Examples, labels: np.ndarray, *, batch_size: int, image_size_px: int
) -> tf.data.Dataset:
    """Every image once, in stored order; the last batch is padded with weight 0.

    Args:
      examples: the split.
      labels: int32 [N, M], padded with -1.
      batch_size: images a batch, over all replicas.
      image_size_px: side of the images.

    Returns:
      As `train_batches`; the weights sum to N.
    """
    num_padded = -(-len(examples) // batch_size) * batch_size
    table = tf.constant(labels, tf.int32)

    def example(position: tf.Tensor) -> Batch:
        row = tf.minimum(position, len(examples) - 1)
        return {
            "image": eval_image(examples.images[row], image_size_px),
            "label": table[row],
            "weight": tf.cast(position < len(examples), tf.float32),
        }

    positions = tf.data.Dataset.range(num_padded)
    return _batched(positions.map(example, num_parallel_calls=tf.data.AUTOTUNE), batch_size)


def _batched(examples: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    batches = examples.batch(batch_size, drop_remainder=True)
    return batches.with_options(options).prefetch(2)
