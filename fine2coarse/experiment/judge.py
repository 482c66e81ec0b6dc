"""How good a run's model is: on the test images at the end, on held-out ones on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from fine2coarse.data.batches import eval_batches
from fine2coarse.data.examples import Examples
from fine2coarse.experiment.run import Run
from fine2coarse.experiment.run_folder import PREDICTIONS, RunFolder
from fine2coarse.models import Classifier
from fine2coarse.training.evaluate import (
    Predictions,
    averaged,
    predict,
    predict_mapped,
    run_over,
)
from fine2coarse.training.loop import Trainer
from fine2coarse.training.metrics import class_map, count_errors, count_right

EVAL_BATCH_SIZE = 256


def validation_accuracy(run: Run, trainer: Trainer, validation: np.ndarray) -> float:
    """Share of the validation images whose largest class is one of theirs."""
    images = run.train.subset(validation)
    labels = images.labelled(run.space)
    with averaged(trainer.model, trainer.average_weights()):
        found = predict(
            trainer.strategy,
            trainer.model,
            _eval_passes(run, trainer, images, labels[:, 0], 0)[0],
            labels[:, 0],
        )
    right = (labels == found.predicted[:, None]).any(1)
    return float(right.sum() / max((labels >= 0).any(1).sum(), 1))


def encode(
    strategy: tf.distribute.Strategy, classifier: Classifier, images: Examples, image_size_px: int
) -> Examples:
    """The images with the backbone's features of their central crops in their place."""
    no_labels = np.zeros((len(images), 1), np.int32)
    (features,) = run_over(
        strategy,
        lambda batch: (tf.cast(classifier.predict_features(batch["image"]), tf.float32),),
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


def judge(run: Run, folder: RunFolder, trainer: Trainer, writes: bool) -> dict[str, Any]:
    """Evaluates on the test images, with the averaged weights where there are any."""
    averages = trainer.average_weights()
    with averaged(trainer.model, averages):
        predictions = _evaluate(run, trainer)
    if writes:
        _save_predictions(folder, run.evaluate, predictions)
    space = run.target or run.space
    return {
        "evaluation": count_errors(predictions.wrong, run.evaluate.hard),
        "metrics": count_right(predictions, space.class_ids),
        "evaluated_space": space.name,
        "evaluated_weights": "ema" if averages else run.phase.final_weights,
    }


def _evaluate(run: Run, trainer: Trainer) -> Predictions:
    space = run.target or run.space
    targets = run.evaluate.targets(space)
    passes = _eval_passes(run, trainer, run.evaluate, targets, run.test_crops)
    if run.target is None and not run.test_crops:
        return predict(trainer.strategy, trainer.model, passes[0], targets)
    mapping = None
    if run.target is not None:
        mapping = class_map(
            run.train.labelled(run.space),
            run.train.targets(run.target),
            (run.space.num_classes, run.target.num_classes),
        )
    return predict_mapped(
        trainer.strategy,
        trainer.model,
        passes,
        targets,
        loss=run.phase.loss,
        class_map=mapping,
    )


def _eval_passes(
    run: Run, trainer: Trainer, images: Examples, targets: np.ndarray, num_crops: int
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


def _save_predictions(folder: RunFolder, images: Examples, predictions: Predictions) -> None:
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
