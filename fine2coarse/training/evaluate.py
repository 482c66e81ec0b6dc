"""Evaluation: the model's predictions for every image of a split, none lost and none twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from fine2coarse.input.feeds import Feed
from fine2coarse.models.roles import moving_statistics
from fine2coarse.training.engine import Engine


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
      engine: the process's engine.
      model: images to logits.
      sums: the model's logits to logits of the targets; None where these are the same.
    """

    def __init__(
        self,
        engine: Engine,
        model: keras.Model,
        sums: Callable[[keras.KerasTensor], keras.KerasTensor] | None = None,
    ) -> None:
        def row(batch: Mapping[str, Any]) -> tuple[keras.KerasTensor, ...]:
            logits = model(batch["image"], training=False)
            largest = _argmax(logits)
            scores = logits if sums is None else sums(logits)
            return (*class_margin_rank(scores, ops.maximum(batch["label"][:, 0], 0)), largest)

        self._engine, self._compiled = engine, engine.compile(row, model)

    def __call__(self, feed: Feed, targets: np.ndarray) -> Predictions:
        """Runs the model over a split.

        Args:
          feed: from `eval_feed`, labels being the single-class targets.
          targets: int32 [N], the same targets.

        Raises:
          RuntimeError: where the batches do not hold each of the N images once.
        """
        predicted, margins, ranks, largest = self._engine.run_over(
            self._compiled, feed, len(targets)
        )
        return Predictions(np.asarray(targets, np.int32), predicted, margins, ranks, largest)


class ViewsPredictor:
    """As a `Predictor`, the scores being probabilities, averaged over views of each image.

    Args:
      engine: the process's engine.
      model: images to logits.
      loss: that the logits of the targets are meant for; says how they become probabilities.
      sums: as for a `Predictor`.
    """

    def __init__(
        self,
        engine: Engine,
        model: keras.Model,
        loss: str = "softmax",
        sums: Callable[[keras.KerasTensor], keras.KerasTensor] | None = None,
    ) -> None:
        to_probability = ops.softmax if loss == "softmax" else ops.sigmoid

        def row(batch: Mapping[str, Any]) -> tuple[keras.KerasTensor, ...]:
            logits = model(batch["image"], training=False)
            return (to_probability(logits if sums is None else sums(logits)),)

        self._engine, self._compiled = engine, engine.compile(row, model)

    def __call__(self, passes: Sequence[Feed], targets: np.ndarray) -> Predictions:
        """Runs the model over a split, once a view.

        Args:
          passes: evaluation batches, one pass a view.
          targets: int32 [N], the right classes.

        Raises:
          RuntimeError: where a pass does not hold each of the N images once.
        """
        targets = np.asarray(targets, np.int32)
        views = (self._engine.run_over(self._compiled, feed, len(targets))[0] for feed in passes)
        mean = sum(views) / len(passes)
        found = class_margin_rank(ops.convert_to_tensor(mean), ops.convert_to_tensor(targets))
        return Predictions(targets, *map(ops.convert_to_numpy, found))


def class_margin_rank(
    scores: keras.KerasTensor, label: keras.KerasTensor
) -> tuple[keras.KerasTensor, ...]:
    """Largest class int32 [B], margin float32 [B] and rank int32 [B] of the right one."""
    is_label = ops.arange(scores.shape[-1], dtype="int32") == label[:, None]
    others = ops.where(is_label, -np.inf, scores)
    right = ops.take_along_axis(scores, label[:, None], axis=-1)[:, 0]
    rank = ops.sum(ops.cast(others > right[:, None], "int32"), axis=-1)
    return _argmax(scores), right - ops.max(others, axis=-1), rank


def _argmax(scores: keras.KerasTensor) -> keras.KerasTensor:
    return ops.cast(ops.argmax(scores, axis=-1), "int32")


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
