"""Evaluating a phase run's model: on the test images at the end, on held-out ones on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from fine2coarse.files import write_atomic
from fine2coarse.input.examples import Examples
from fine2coarse.input.feeds import Feed, eval_feed
from fine2coarse.models import Classifier, Summation
from fine2coarse.runs.phase_folder import PREDICTIONS, PhaseFolder
from fine2coarse.runs.phase_run import PhaseRun
from fine2coarse.training.engine import Engine
from fine2coarse.training.evaluate import Predictions, Predictor, ViewsPredictor, averaged
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
        engine, model = trainer.engine, trainer.model
        # Summed as by a head that is to be fine-tuned: what that does before its first step.
        sums = None if run.target is None else Summation(run.class_map, run.phase.loss)
        self._predict_own = Predictor(engine, model)
        self._predict_target = self._predict_own
        if sums is not None:
            self._predict_target = Predictor(engine, model, sums)
        loss = run.phase.loss if sums is None else "softmax"
        self._predict_views = ViewsPredictor(engine, model, loss, sums)

    def validation_accuracy(self, images: Examples) -> float:
        """Share of the validation images whose largest class is one of theirs."""
        labels = images.labelled(self._run.space)
        (feed,) = self._passes(images, labels[:, 0])
        with averaged(self._trainer.model, self._trainer.average_weights()):
            found = self._predict_own(feed, labels[:, 0])
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
        (feed,) = self._passes(images, targets)
        return self._predict_target(feed, targets)

    def _passes(self, images: Examples, targets: np.ndarray, num_crops: int = 0) -> list[Feed]:
        """One pass over the images for the central crop, or for each of several random ones."""
        return [
            eval_feed(
                images,
                targets[:, None],
                batch_size=_batch_size(self._trainer.engine),
                image_size_px=self._run.backbone.image_size_px,
                random_crop=crop,
            )
            for crop in (range(num_crops) if num_crops else (None,))
        ]


class FeatureEncoder:
    """A classifier's backbone as a function of whole splits; compiled once for all of them.

    Args:
      engine: the process's engine.
      classifier: whose backbone it is.
      image_size_px: side of the central crops that it is given.
    """

    def __init__(self, engine: Engine, classifier: Classifier, image_size_px: int) -> None:
        def features(batch: Mapping[str, Any]) -> tuple[Any]:
            return (ops.cast(classifier.predict_features(batch["image"]), "float32"),)

        self._engine, self._image_size_px = engine, image_size_px
        self._compiled = engine.compile(features, classifier)

    def __call__(self, images: Examples) -> Examples:
        """The images with the features float32 [N, D] of their central crops in their place."""
        no_labels = np.zeros((len(images), 1), np.int32)
        feed = eval_feed(
            images,
            no_labels,
            batch_size=_batch_size(self._engine),
            image_size_px=self._image_size_px,
        )
        (features,) = self._engine.run_over(self._compiled, feed, len(images))
        return images.with_features(features)


def _batch_size(engine: Engine) -> int:
    replicas = engine.num_replicas
    return -(-EVAL_BATCH_SIZE // replicas) * replicas


def _save_predictions(folder: PhaseFolder, images: Examples, predictions: Predictions) -> None:
    columns: Mapping[str, np.ndarray] = {
        "image_ids": np.asarray(images.image_ids, np.str_),
        "targets": predictions.targets,
        "predicted": predictions.predicted,
        "margins": predictions.margins,
    }
    write_atomic(folder.path / PREDICTIONS, lambda file: np.savez_compressed(file, **columns))
