"""How good a run's model is: on the test images at the end, on held-out ones on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from fine2coarse.input.batches import eval_batches
from fine2coarse.input.examples import Examples
from fine2coarse.models import Classifier, Summation
from fine2coarse.runs.phase_folder import PREDICTIONS, PhaseFolder
from fine2coarse.runs.phase_run import PhaseRun
from fine2coarse.training.evaluate import (
    Predictions,
    Predictor,
    averaged,
    batch_function,
    predict_over_views,
    run_over,
)
from fine2coarse.training.loop import Trainer
from fine2coarse.training.metrics import count_errors, count_right

EVAL_BATCH_SIZE = 256


def validation_accuracy(run: PhaseRun, trainer: Trainer, validation: np.ndarray) -> float:
    """Share of the validation images whose largest class is one of theirs."""
    images = run.train.subset(validation)
    labels = images.labelled(run.space)
    with averaged(trainer.model, trainer.average_weights()):
        predictor = Predictor(trainer.strategy, trainer.model)
        (batches,) = _eval_passes(run, trainer, images, labels[:, 0], 0)
        found = predictor(batches, labels[:, 0])
    right = (labels == found.predicted[:, None]).any(1)
    return float(right.sum() / max((labels >= 0).any(1).sum(), 1))


def encode(
    strategy: tf.distribute.Strategy, classifier: Classifier, images: Examples, image_size_px: int
) -> Examples:
    """The images with the backbone's features of their central crops in their place."""
    no_labels = np.zeros((len(images), 1), np.int32)
    (features,) = run_over(
        strategy,
        batch_function(
            strategy,
            lambda batch: (tf.cast(classifier.predict_features(batch["image"]), tf.float32),),
        ),
        lambda shard: eval_batches(
            images,
            no_labels,
            batch_size=_batch_size(strategy),
            image_size_px=image_size_px,
            shard=shard,
        ),
        len(images),
    )
    return images.with_features(features)


def evaluate_run(
    run: PhaseRun, folder: PhaseFolder, trainer: Trainer, writes: bool
) -> dict[str, Any]:
    """Evaluates on the test images, with the averaged weights where there are any.

    The images held out for choosing, if any, are evaluated in the same way; only counted.
    """
    averages = trainer.average_weights()
    evaluate, found = _evaluator(run, trainer), {}
    with averaged(trainer.model, averages):
        predictions = evaluate(run.evaluate)
        if run.held_out is not None:
            found["held_out"] = count_errors(evaluate(run.held_out).wrong, None)
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


def _evaluator(run: PhaseRun, trainer: Trainer) -> Callable[[Examples], Predictions]:
    """What the run's model says of the images of a split."""
    # Summed as by a head that is to be fine-tuned: what that does before its first step.
    sums = None if run.target is None else Summation(run.class_map, run.phase.loss)
    predictor = Predictor(trainer.strategy, trainer.model, sums)
    loss = run.phase.loss if sums is None else "softmax"

    def evaluate(images: Examples) -> Predictions:
        targets = images.targets(run.target or run.space)
        passes = _eval_passes(run, trainer, images, targets, run.test_crops)
        if not run.test_crops:
            return predictor(passes[0], targets)
        return predict_over_views(
            trainer.strategy, trainer.model, passes, targets, loss=loss, sums=sums
        )

    return evaluate


def _eval_passes(
    run: PhaseRun, trainer: Trainer, images: Examples, targets: np.ndarray, num_crops: int
) -> list[Any]:
    """One pass over the images for the central crop, or for each of several random ones."""
    crops = range(num_crops) if num_crops else (None,)
    return [
        lambda shard, crop=crop: eval_batches(
            images,
            targets[:, None],
            batch_size=_batch_size(trainer.strategy),
            image_size_px=run.backbone.image_size_px,
            shard=shard,
            random_crop=crop,
        )
        for crop in crops
    ]


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
    partial = folder.path / (PREDICTIONS + ".tmp")
    with partial.open("wb") as file:
        np.savez_compressed(file, **columns)
    partial.replace(folder.path / PREDICTIONS)
