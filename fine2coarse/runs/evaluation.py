"""Evaluating a phase run's model: on the test images at the end, on held-out ones on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from fine2coarse.files import write_atomic
from fine2coarse.input.batches import Shard, eval_batches
from fine2coarse.input.examples import Examples
from fine2coarse.models import Classifier, Summation
from fine2coarse.runs.phase_folder import PREDICTIONS, PhaseFolder
from fine2coarse.runs.phase_run import PhaseRun
from fine2coarse.training.evaluate import (
    Predictions,
    Predictor,
    ViewsPredictor,
    averaged,
    batch_function,
    run_over,
)
from fine2coarse.training.loop import Trainer
from fine2coarse.training.metrics import count_errors, count_right

EVAL_BATCH_SIZE = 256


class Evaluator:
    """A phase run's model applied to images; compiled once for all validations, splits and crops.

    Args:
      run: what is evaluated, and on which images.
      trainer: holds the model and the averages of its weights, as they are when it is called.
    """

    def __init__(self, run: PhaseRun, trainer: Trainer) -> None:
        self._run, self._trainer = run, trainer
        strategy, model = trainer.strategy, trainer.model
        # Summed as by a head that is to be fine-tuned: what that does before its first step.
        sums = None if run.target is None else Summation(run.class_map, run.phase.loss)
        self._predict_own = Predictor(strategy, model)
        self._predict_target = self._predict_own
        if sums is not None:
            self._predict_target = Predictor(strategy, model, sums)
        loss = run.phase.loss if sums is None else "softmax"
        self._predict_views = ViewsPredictor(strategy, model, loss, sums)

    def validation_accuracy(self, images: Examples) -> float:
        """Share of the validation images whose largest class is one of theirs."""
        labels = images.labelled(self._run.space)
        (batches,) = self._passes(images, labels[:, 0])
        with averaged(self._trainer.model, self._trainer.average_weights()):
            found = self._predict_own(batches, labels[:, 0])
        right = (labels == found.predicted[:, None]).any(1)
        return float(right.sum() / max((labels >= 0).any(1).sum(), 1))

    def evaluate(self, folder: PhaseFolder, writes: bool) -> dict[str, Any]:
        """Evaluates on the test images, with the averaged weights where there are any.

        The images held out for choosing, if any, are evaluated in the same way; only counted.

        Args:
          folder: where the predictions go.
          writes: whether this process writes them.

        Returns:
          What `result.json` tells of it: counts, and what was evaluated.
        """
        run, found = self._run, {}
        averages = self._trainer.average_weights()
        with averaged(self._trainer.model, averages):
            predictions = self.predict(run.evaluate)
            if run.held_out is not None:
                found["held_out"] = count_errors(self.predict(run.held_out).wrong, None)
        if writes:
            _save_predictions(folder, run.evaluate, predictions)
        if run.target is not None and predictions.largest is not None:
            mapped = run.class_map.largest[predictions.largest]
            found["direct_argmax"] = count_errors(mapped != predictions.targets, None)
        space = run.target or run.space
        return {
            "evaluation": count_errors(predictions.wrong, run.evaluate.hard),
            "metrics": count_right(predictions, space.class_ids),
            "evaluated_space": space.name,
            "evaluated_weights": "ema" if averages else run.phase.final_weights,
            **found,
        }

    def predict(self, images: Examples) -> Predictions:
        """The predictions for a split's images, in the classes that the run is evaluated on."""
        run = self._run
        targets = images.targets(run.target or run.space)
        if run.test_crops:
            return self._predict_views(self._passes(images, targets, run.test_crops), targets)
        (batches,) = self._passes(images, targets)
        return self._predict_target(batches, targets)

    def _passes(
        self, images: Examples, targets: np.ndarray, num_crops: int = 0
    ) -> list[Callable[[Shard], tf.data.Dataset]]:
        """One pass over the images for the central crop, or for each of several random ones."""
        return [
            lambda shard, crop=crop: eval_batches(
                images,
                targets[:, None],
                batch_size=_batch_size(self._trainer.strategy),
                image_size_px=self._run.backbone.image_size_px,
                shard=shard,
                random_crop=crop,
            )
            for crop in (range(num_crops) if num_crops else (None,))
        ]


class FeatureEncoder:
    """A classifier's backbone as a function of whole splits; compiled once for all of them.

    Args:
      strategy: the process's strategy.
      classifier: whose backbone it is.
      image_size_px: side of the central crops that it is given.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy, classifier: Classifier, image_size_px: int
    ) -> None:
        def features(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor]:
            return (tf.cast(classifier.predict_features(batch["image"]), tf.float32),)

        self._strategy, self._image_size_px = strategy, image_size_px
        self._step = batch_function(strategy, features)

    def __call__(self, images: Examples) -> Examples:
        """The images with the features float32 [N, D] of their central crops in their place."""
        no_labels = np.zeros((len(images), 1), np.int32)
        (features,) = run_over(
            self._strategy,
            self._step,
            lambda shard: eval_batches(
                images,
                no_labels,
                batch_size=_batch_size(self._strategy),
                image_size_px=self._image_size_px,
                shard=shard,
            ),
            len(images),
        )
        return images.with_features(features)


def _batch_size(strategy: tf.distribute.Strategy) -> int:
    replicas = strategy.num_replicas_in_sync
    return -(-EVAL_BATCH_SIZE // replicas) * replicas


def _save_predictions(folder: PhaseFolder, images: Examples, predictions: Predictions) -> None:
    columns: Mapping[str, np.ndarray] = {
        "image_ids": np.asarray(images.image_ids, np.str_),
        "targets": predictions.targets,
        "predicted": predictions.predicted,
        "margins": predictions.margins,
    }
    write_atomic(folder.path / PREDICTIONS, lambda file: np.savez_compressed(file, **columns))
