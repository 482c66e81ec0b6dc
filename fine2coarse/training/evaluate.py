"""Evaluation: the model's predictions for every image of a split, none lost and none twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from fine2coarse.input.batches import Shard
from fine2coarse.models.roles import moving_statistics
from fine2coarse.training.strategy import distribute


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """One row an image, in stored order.

    Attributes:
      targets: int32 [N], the right class.
      predicted: int32 [N], the class with the largest score.
      margins: float32 [N], the right class's score minus the largest other one.
      ranks: int32 [N], how many classes have a larger score than the right one.
      largest: int32 [N], the model's own class with the largest logit; None where several views of
        an image were averaged.
    """

    targets: np.ndarray
    predicted: np.ndarray
    margins: np.ndarray
    ranks: np.ndarray
    largest: np.ndarray | None = None

    @property
    def wrong(self) -> np.ndarray:
        """bool [N]: whether the image is missed."""
        return self.predicted != self.targets


class Predictor:
    """A model's predictions on evaluation batches, compiled once for all splits; scores are logits.

    Args:
      strategy: the process's strategy.
      model: images to logits.
      sums: the model's logits to logits of the targets; None where these are the same.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: keras.Model,
        sums: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> None:
        def row(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
            logits = model(batch["image"], training=False)
            largest = tf.argmax(logits, -1, tf.int32)
            scores = logits if sums is None else sums(logits)
            return (*class_margin_rank(scores, tf.maximum(batch["label"][:, 0], 0)), largest)

        self._strategy, self._step = strategy, batch_function(strategy, row)

    def __call__(
        self, make_batches: Callable[[Shard], tf.data.Dataset], targets: np.ndarray
    ) -> Predictions:
        """Runs the model over a split.

        Args:
          make_batches: from `eval_batches`, labels being the single-class targets.
          targets: int32 [N], the same targets.

        Raises:
          RuntimeError: where the batches do not hold each of the N images once.
        """
        predicted, margins, ranks, largest = run_over(
            self._strategy, self._step, make_batches, len(targets)
        )
        return Predictions(np.asarray(targets, np.int32), predicted, margins, ranks, largest)


class ViewsPredictor:
    """As a `Predictor`, the scores being probabilities, averaged over views of each image.

    Args:
      strategy: the process's strategy.
      model: images to logits.
      loss: that the logits of the targets are meant for; says how they become probabilities.
      sums: as for a `Predictor`.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: keras.Model,
        loss: str = "softmax",
        sums: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> None:
        to_probability = tf.nn.softmax if loss == "softmax" else tf.nn.sigmoid

        def row(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
            logits = model(batch["image"], training=False)
            return (to_probability(logits if sums is None else sums(logits)),)

        self._strategy, self._step = strategy, batch_function(strategy, row)

    def __call__(
        self, passes: Sequence[Callable[[Shard], tf.data.Dataset]], targets: np.ndarray
    ) -> Predictions:
        """Runs the model over a split, once a view.

        Args:
          passes: evaluation batches, one pass a view.
          targets: int32 [N], the right classes.

        Raises:
          RuntimeError: where a pass does not hold each of the N images once.
        """
        targets = np.asarray(targets, np.int32)
        views = (run_over(self._strategy, self._step, make, len(targets))[0] for make in passes)
        mean = sum(views) / len(passes)
        predicted, margins, ranks = class_margin_rank(tf.constant(mean), tf.constant(targets))
        return Predictions(targets, predicted.numpy(), margins.numpy(), ranks.numpy())


def class_margin_rank(scores: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Largest class int32 [B], margin float32 [B] and rank int32 [B] of the right one."""
    is_label = tf.one_hot(label, scores.shape[-1], dtype=tf.bool, on_value=True, off_value=False)
    others = tf.where(is_label, -np.inf, scores)
    right = tf.gather(scores, label, batch_dims=1)
    rank = tf.reduce_sum(tf.cast(others > right[:, None], tf.int32), -1)
    return tf.argmax(scores, -1, tf.int32), right - tf.reduce_max(others, -1), rank


def batch_function(
    strategy: tf.distribute.Strategy,
    replica_step: Callable[[dict[str, tf.Tensor]], tuple[tf.Tensor, ...]],
) -> Callable[[dict[str, tf.Tensor]], tuple[tf.Tensor, ...]]:
    """A function of one replica's batch, compiled to run on all replicas; weights come last."""

    @tf.function(autograph=False)
    def step(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        def with_weight(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
            return (*replica_step(batch), batch["weight"])

        return strategy.run(with_weight, args=(batch,))

    return step


def run_over(
    strategy: tf.distribute.Strategy,
    step: Callable[[dict[str, tf.Tensor]], tuple[tf.Tensor, ...]],
    make_batches: Callable[[Shard], tf.data.Dataset],
    num_images: int,
) -> list[np.ndarray]:
    """Applies a function to every batch; padding is cut off.

    Args:
      strategy: the process's strategy.
      step: from `batch_function`: a batch to tensors [B, ...], the same number for each.
      make_batches: from `eval_batches`.
      num_images: N, how many there must be.

    Returns:
      One array [N, ...] for each tensor, in stored order, the same in every process.

    Raises:
      RuntimeError: where the batches hold another number of images.
    """
    batches = []
    for batch in distribute(strategy, make_batches):
        batches.append([_gathered(strategy, value) for value in step(batch)])
    *columns, weights = [np.concatenate(column) for column in zip(*batches, strict=True)]
    seen = weights > 0
    if seen.sum() != num_images:
        raise RuntimeError(f"evaluated {int(seen.sum())} images, expected {num_images}")
    return [column[seen] for column in columns]


def _gathered(strategy: tf.distribute.Strategy, value: tf.Tensor) -> np.ndarray:
    """The pieces of all replicas, also those of other processes, in the order of the batch."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return strategy.gather(value, axis=0).numpy()
    return np.concatenate([part.numpy() for part in strategy.experimental_local_results(value)])


@contextmanager
def averaged(model: keras.Model, averages: list[keras.Variable]) -> Iterator[None]:
    """The model with the moving averages in their places; its own values come back after.

    Args:
      model: whose weights are averaged.
      averages: of its trainable weights and then of its batch-norm statistics, from
        `Trainer.average_weights`; none where the model is to stay as it is.
    """
    if not averages:
        yield
        return
    variables = [*model.trainable_variables, *moving_statistics(model)]
    own = [variable.numpy() for variable in variables]
    for variable, average in zip(variables, averages, strict=True):
        variable.assign(average.numpy())
    try:
        yield
    finally:
        for variable, values in zip(variables, own, strict=True):
            variable.assign(values)
