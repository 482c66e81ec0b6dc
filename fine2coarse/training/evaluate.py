"""Evaluation: what the model says of every image of a split, none lost and none twice."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """One row an image, in stored order.

    Attributes:
      targets: int32 [N], the right class.
      predicted: int32 [N], the class with the largest logit.
      margins: float32 [N], the right class's logit minus the largest other one.
    """

    targets: np.ndarray
    predicted: np.ndarray
    margins: np.ndarray

    @property
    def wrong(self) -> np.ndarray:
        """bool [N]: whether the image is missed."""
        return self.predicted != self.targets


def predict(
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    batches: tf.data.Dataset,
    targets: np.ndarray,
) -> Predictions:
    """Runs the model over evaluation batches.

    Args:
      strategy: the process's strategy.
      model: images to logits.
      batches: from `eval_batches`, labels being the single-class targets.
      targets: int32 [N], the same targets.

    Raises:
      RuntimeError: where the batches do not hold each of the N images once.
    """

    def replica_step(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        logits = model(batch["image"], training=False)
        label = tf.maximum(batch["label"][:, 0], 0)
        is_label = tf.one_hot(
            label, logits.shape[-1], dtype=tf.bool, on_value=True, off_value=False
        )
        others = tf.where(is_label, -np.inf, logits)
        right = tf.gather(logits, label, batch_dims=1)
        margin = right - tf.reduce_max(others, -1)
        return tf.argmax(logits, -1, tf.int32), margin, batch["weight"]

    @tf.function
    def step(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        return strategy.run(replica_step, args=(batch,))

    columns: tuple[list, ...] = ([], [], [])
    for batch in strategy.experimental_distribute_dataset(batches):
        for column, value in zip(columns, step(batch)):
            column.extend(part.numpy() for part in strategy.experimental_local_results(value))
    predicted, margins, weights = map(np.concatenate, columns)
    seen = weights > 0
    if seen.sum() != len(targets):
        raise RuntimeError(f"evaluated {int(seen.sum())} images, expected {len(targets)}")
    return Predictions(np.asarray(targets, np.int32), predicted[seen], margins[seen])
