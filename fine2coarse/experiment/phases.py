"""One run: train a classifier on a label space, from fresh or pretrained weights, and evaluate."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fine2coarse.data.batches import eval_batches, train_batches
from fine2coarse.data.examples import Examples
from fine2coarse.experiment.classifiers import build_classifier, load_classifier
from fine2coarse.experiment.pretrained import backbone_weights, start_recipe
from fine2coarse.experiment.progress import Observer, Silent
from fine2coarse.experiment.recipe import stream_seed
from fine2coarse.experiment.run_folder import (
    LABEL_SPACE,
    PREDICTIONS,
    WEIGHTS,
    RunFolder,
)
from fine2coarse.hub.backbone import SavedModelBackbone
from fine2coarse.labels.space import LabelSpace
from fine2coarse.models import BackboneSpec, Classifier
from fine2coarse.training.checkpoints import Checkpoints
from fine2coarse.training.evaluate import Predictions, predict
from fine2coarse.training.loop import Progress, Trainer
from fine2coarse.training.spec import PhaseSpec

EVAL_BATCH_SIZE = 256

__all__ = ["Run", "count_errors", "execute", "load_classifier"]


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What one run does.

    Attributes:
      purpose: 'pretrain', 'transfer' or 'baseline'; picks the stream of random numbers.
      space: labels to train on.
      phase: how to train.
      backbone: which model.
      seed: of weights, order and augmentation.
      precision: 'float32' or 'mixed_bfloat16'.
      train: images to train on.
      evaluate: images to evaluate on; None for pretraining, whose labels they may not have.
      start_from: folder of the finished or exported run whose backbone to start from; None for
        scratch, or a SavedModel's own weights.
      freeze_backbone: train the head alone, the backbone in inference mode (linear probe).
      dataset_fingerprint: of the prepared images.
      dataset_name: of the prepared images.
    """

    purpose: str
    space: LabelSpace
    phase: PhaseSpec
    backbone: BackboneSpec | SavedModelBackbone
    seed: int
    precision: str
    train: Examples
    evaluate: Examples | None
    dataset_fingerprint: str
    start_from: pathlib.Path | None = None
    freeze_backbone: bool = False
    dataset_name: str = ""

    def recipe(self) -> dict[str, Any]:
        """What `recipe.json` holds: all that determines the numbers, as plain values."""
        return {
            "purpose": self.purpose,
            "dataset_name": self.dataset_name,
            "dataset_fingerprint": self.dataset_fingerprint,
            "label_space": {
                "name": self.space.name,
                "num_classes": self.space.num_classes,
                "fingerprint": self.space.fingerprint,
                "source": dict(self.space.source),
            },
            "backbone": dataclasses.asdict(self.backbone),
            "phase": dataclasses.asdict(self.phase),
            "seed": self.seed,
            "precision": self.precision,
            "start_from": start_recipe(self.start_from),
            "freeze_backbone": self.freeze_backbone,
        }


def execute(
    run: Run,
    folder: RunFolder,
    strategy: tf.distribute.Strategy,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Does a run, or goes on with one, or reads back what a finished one found.

    Args:
      run: what to do.
      folder: where its files go.
      strategy: the process's strategy.
      observer: told how training goes.

    Returns:
      The result, as in `result.json`.

    Raises:
      RunError: where the folder holds another run, or `start_from` is not finished.
    """
    folder.claim(run.recipe())
    if not folder.path.joinpath(LABEL_SPACE + ".json").is_file():  # written after the .npz
        run.space.save(folder.path / LABEL_SPACE)
    if folder.is_finished:
        return folder.result()
    keras.config.set_dtype_policy(run.precision)
    trainer = Trainer(strategy, lambda: _build_model(run), run.phase)
    last_loss, elapsed_seconds = _train(run, folder, trainer, observer or Silent())
    result = _describe(run, trainer, last_loss, elapsed_seconds)
    if run.evaluate is not None:
        predictions = _evaluate(run, trainer)
        _save_predictions(folder, run.evaluate, predictions)
        result |= {"evaluation": count_errors(predictions.wrong, run.evaluate.hard)}
    _save_weights(folder, trainer.model)
    folder.write_status("finished", trainer.step, run.phase.total_steps, elapsed_seconds)
    folder.write_result(result)
    return result


def count_errors(wrong: np.ndarray, hard: np.ndarray | None) -> dict[str, int]:
    """Numerators and denominators of the error, for all images and for easy and hard ones."""
    counts = {"num_wrong": int(wrong.sum()), "num_images": len(wrong)}
    for name, members in (("easy", None if hard is None else ~hard), ("hard", hard)):
        if members is not None:
            counts[f"{name}_wrong"] = int(wrong[members].sum())
            counts[f"{name}_images"] = int(members.sum())
    return counts


def _build_model(run: Run) -> Classifier:
    model = build_classifier(run.backbone, run.space.num_classes, seed=run.seed)
    if run.start_from is not None:
        model.backbone.set_weights(backbone_weights(run.start_from, model.backbone))
    if run.freeze_backbone:
        model.backbone.trainable = False
    return model


def _train(
    run: Run, folder: RunFolder, trainer: Trainer, observer: Observer
) -> tuple[float, float]:
    """Trains from the newest checkpoint on; returns the last logged loss and the seconds."""
    checkpoints = Checkpoints(folder.path / "checkpoints", trainer)
    first_step = checkpoints.restore_newest()
    folder.rewind_metrics(first_step)
    earlier_seconds = folder.elapsed_seconds() if first_step else 0.0
    started = time.monotonic()
    batches = train_batches(
        run.train,
        run.train.labelled(run.space),
        batch_size=run.phase.batch_size,
        num_steps=run.phase.total_steps,
        image_size_px=run.backbone.image_size_px,
        augment=run.phase.augment,
        seed=stream_seed(run.seed, run.purpose),
        first_step=first_step,
    )
    board = tf.summary.create_file_writer(str(folder.path / "tensorboard"))
    observer.start(first_step, run.phase.total_steps)
    last_time, last_step = started, first_step
    elapsed_seconds = earlier_seconds
    for progress in trainer.train(batches):
        now = time.monotonic()
        elapsed_seconds = earlier_seconds + now - started
        rate = (progress.step - last_step) * run.phase.batch_size / max(now - last_time, 1e-9)
        last_time, last_step = now, progress.step
        observer.advance(progress, rate)
        if progress.log_due:
            _log(folder, board, progress, rate, elapsed_seconds)
        if progress.checkpoint_due:
            checkpoints.save()
            folder.write_status("running", progress.step, run.phase.total_steps, elapsed_seconds)
    return float(folder.metrics()[-1]["loss"]), elapsed_seconds


def _log(
    folder: RunFolder,
    board: tf.summary.SummaryWriter,
    progress: Progress,
    rate: float,
    elapsed_seconds: float,
) -> None:
    folder.append_metrics(
        {
            "step": progress.step,
            "loss": progress.loss,
            "learning_rate": progress.learning_rate,
            "images_per_second": round(rate, 1),
            "elapsed_seconds": round(elapsed_seconds, 3),
        }
    )
    with board.as_default(step=progress.step):
        tf.summary.scalar("loss", progress.loss)
        tf.summary.scalar("learning_rate", progress.learning_rate)
        tf.summary.scalar("images_per_second", rate)
    board.flush()


def _evaluate(run: Run, trainer: Trainer) -> Predictions:
    targets = run.evaluate.targets(run.space)
    replicas = trainer.strategy.num_replicas_in_sync
    batches = eval_batches(
        run.evaluate,
        targets[:, None],
        batch_size=-(-EVAL_BATCH_SIZE // replicas) * replicas,
        image_size_px=run.backbone.image_size_px,
    )
    return predict(trainer.strategy, trainer.model, batches, targets)


def _describe(
    run: Run, trainer: Trainer, last_loss: float, elapsed_seconds: float
) -> dict[str, Any]:
    return {
        "purpose": run.purpose,
        "label_space": run.space.name,
        "num_classes": run.space.num_classes,
        "label_space_fingerprint": run.space.fingerprint,
        "seed": run.seed,
        "last_loss": last_loss,
        "elapsed_seconds": round(elapsed_seconds, 3),
        "images_seen": trainer.step * run.phase.batch_size,
    }


def _save_weights(folder: RunFolder, model: keras.Model) -> None:
    partial = folder.path / f"tmp-{WEIGHTS}"
    model.save_weights(partial, overwrite=True)
    partial.replace(folder.path / WEIGHTS)


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
