"""One phase run: a classifier trained on a label space, from fresh or other weights, and tested."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from fine2coarse.errors import Preempted
from fine2coarse.files import replacing
from fine2coarse.input.examples import Examples
from fine2coarse.input.feeds import Feed, augments_in_step, train_feed
from fine2coarse.input.image_shares import select_share
from fine2coarse.input.read_errors import told_plainly
from fine2coarse.models import Classifier, LinearHead
from fine2coarse.recipes.names import LINEAR_PROBE
from fine2coarse.recipes.phase_spec import PhaseSpec
from fine2coarse.recipes.transfer_spec import NONE
from fine2coarse.runs.classifiers import build_classifier
from fine2coarse.runs.evaluation import Evaluator, FeatureEncoder
from fine2coarse.runs.metrics_log import MetricsLog
from fine2coarse.runs.phase_folder import (
    BRANCH_WEIGHTS,
    CHECKPOINTS,
    CLASS_MAP,
    EMA_WEIGHTS,
    LABEL_SPACE,
    WEIGHTS,
    PhaseFolder,
)
from fine2coarse.runs.phase_run import PhaseRun
from fine2coarse.runs.progress import Observer, Silent
from fine2coarse.runs.starting_weights import start_from_run, start_weights
from fine2coarse.seeds import stream_seed
from fine2coarse.training.checkpoints import Checkpoints
from fine2coarse.training.cost import PeakMemory, device_name, train_flops_per_image
from fine2coarse.training.engine import Engine, choose_jit_compile
from fine2coarse.training.evaluate import averaged
from fine2coarse.training.loop import NonFiniteLossError, Progress, Trainer
from fine2coarse.training.losses import HEAD_BIAS
from fine2coarse.training.preemption import on_termination

_log = logging.getLogger(__name__)


@told_plainly()
def execute(
    run: PhaseRun,
    folder: PhaseFolder,
    engine: Engine,
    observer: Observer | None = None,
    *,
    earlier: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Does a phase run, or goes on with one, or reads back what a finished one found.

    Args:
      run: what to do.
      folder: where its files go; the same one for all processes of an engine.
      engine: the process's engine.
      observer: told how training goes.
      earlier: result of an earlier stage of the same transfer, whose cost is added to this one's.
      notes: what `result.json` shall hold besides.

    Returns:
      The result, as in `result.json`.

    Raises:
      RunError: where the folder holds another phase run, or `start_from` is not finished.
      Preempted: where SIGTERM came; the state is saved.
      NonFiniteLossError: naming step, learning rate and the last good checkpoint.
    """
    writes = engine.is_chief
    if writes:
        _bind(run, folder)
    engine.wait_for_all()  # all find the folder in one state
    if folder.is_finished:
        return folder.result()
    keras.config.set_dtype_policy(run.precision)
    run, trainer, classifier = _build(run, engine)
    evaluator, memory = Evaluator(run, trainer), PeakMemory()
    last_loss, elapsed_seconds, num_steps = None, 0.0, 0
    if run.mode != NONE:
        session = _Session(folder, observer or Silent(), writes)
        last_loss, elapsed_seconds = _train(run, trainer, evaluator, session)
        num_steps = run.phase.total_steps
    result = _describe(run, last_loss, elapsed_seconds, num_steps)
    result |= {"cost": _cost(run, trainer, memory)}
    if run.phase.validation_share and num_steps:
        result |= {"validation_accuracy": _validation(folder, run.phase.final_weights)}
    if run.evaluate is not None:
        result |= evaluator.evaluate(folder, writes)
    if earlier is not None:
        result |= total_cost([earlier, result])
    result |= notes or {}
    if writes:
        _save_weights(folder, trainer, classifier)
        folder.write_status("finished", num_steps, num_steps, elapsed_seconds)
        folder.write_result(result)
    engine.wait_for_all()  # whoever goes on may read what was written
    return result


@dataclasses.dataclass(frozen=True)
class _Session:
    """Where this process's part of a training goes.

    Attributes:
      folder: of the phase run.
      observer: told how training goes.
      writes: whether this process is the one that writes files.
    """

    folder: PhaseFolder
    observer: Observer
    writes: bool


def total_cost(stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Seconds, images and cost of several results as if they were one.

    Operations an image are the mean over all images, so that images times operations is the sum.
    """
    images = sum(stage["images_seen"] for stage in stages)
    per_image = [(stage["cost"].get("train_flops_per_image"), stage) for stage in stages]
    peaks = [stage["cost"].get("peak_memory_bytes") for stage in stages]
    flops = None
    if None not in [count for count, _ in per_image]:
        total = sum(count * stage["images_seen"] for count, stage in per_image)
        flops = total / images if images else stages[-1]["cost"]["train_flops_per_image"]
    return {
        "elapsed_seconds": round(sum(stage["elapsed_seconds"] for stage in stages), 3),
        "images_seen": images,
        "cost": {
            **stages[-1]["cost"],
            "train_flops_per_image": flops,
            "peak_memory_bytes": None if None in peaks else max(peaks),
        },
    }


def _bind(run: PhaseRun, folder: PhaseFolder) -> None:
    """Writes what the phase run is into its folder, or checks that it is the one there."""
    folder.bind(run.recipe(), augments_in_step(run.train))
    if not folder.path.joinpath(LABEL_SPACE + ".json").is_file():  # written after the .npz
        run.space.save(folder.path / LABEL_SPACE)
    if run.summation is not None and not (folder.path / CLASS_MAP).is_file():
        run.summation.class_map.save(folder.path / CLASS_MAP)


def _build(run: PhaseRun, engine: Engine) -> tuple[PhaseRun, Trainer, Classifier]:
    """What is trained on, the trainer, and the whole classifier.

    Of a linear probe, the run is over features in the images' place and the trainer's model is the
    head alone; of all others, the run is as it was and the model is the classifier.
    """
    if run.mode == LINEAR_PROBE:
        return _build_probe(run, engine)
    jit_compile = choose_jit_compile(engine, run.backbone.name)
    trainer = Trainer(engine, lambda: _build_model(run), run.phase, jit_compile, run.branch_step)
    return run, trainer, trainer.model


def _build_model(run: PhaseRun) -> Classifier:
    model = build_classifier(
        run.backbone,
        _num_head_classes(run),
        seed=run.seed,
        head_bias=HEAD_BIAS[run.phase.loss],
        summation=run.summation,
    )
    if run.start_from is None:
        start_weights(model.backbone, run.start)
    else:
        start_from_run(
            model,
            run.start_from,
            run.head,
            class_map=run.class_map,
            from_branch=run.from_branch,
        )
    return model


def _num_head_classes(run: PhaseRun) -> int:
    summation = run.summation
    return run.space.num_classes if summation is None else summation.class_map.num_classes


def _build_probe(run: PhaseRun, engine: Engine) -> tuple[PhaseRun, Trainer, Classifier]:
    """As `_build`: every image goes through the backbone once."""
    with engine.scope():
        classifier = _build_model(run)
    encode = FeatureEncoder(engine, classifier, run.backbone.image_size_px)
    encoded = dataclasses.replace(
        run,
        train=encode(run.train),
        evaluate=run.evaluate and encode(run.evaluate),
        held_out=run.evaluate and run.held_out and encode(run.held_out),
    )
    num_features = classifier.backbone.output_shape[-1]
    bias = HEAD_BIAS[run.phase.loss]

    def build_head() -> LinearHead:
        model = LinearHead(
            num_features,
            _num_head_classes(run),
            seed=run.seed,
            head_bias=bias,
            summation=run.summation,
        )
        model.head.set_weights(classifier.head.get_weights())
        return model

    return encoded, Trainer(engine, build_head, run.phase), classifier


def _train(
    run: PhaseRun, trainer: Trainer, evaluator: Evaluator, session: _Session
) -> tuple[float, float]:
    """Trains from the newest checkpoint on; returns the last loss and the seconds."""
    phase, folder, writes = run.phase, session.folder, session.writes
    labels, validated = _split(run)
    checkpoints = Checkpoints(folder.path / CHECKPOINTS, trainer, phase.checkpoints_to_keep, writes)
    first_step = _restore(checkpoints, trainer)
    earlier_seconds = folder.elapsed_seconds() if first_step else 0.0
    if writes:
        folder.rewind_metrics(first_step)
    metrics_log = MetricsLog(folder, phase.batch_size, earlier_seconds, first_step, writes)
    session.observer.start(first_step, phase.total_steps)
    feed = _training_feed(run, labels, first_step)
    with (
        on_termination(trainer.request_stop),
        _naming_the_last_good(checkpoints),
        contextlib.closing(metrics_log),
    ):
        for progress in trainer.train(feed):
            rate, _ = metrics_log.advance(progress)
            session.observer.advance(progress, rate)
            accuracy = None
            if progress.validation_due:
                accuracy = evaluator.validation_accuracy(validated)
                checkpoints.save_if_best(accuracy)
            if progress.log_due:
                metrics_log.write(progress, rate, accuracy)
            if progress.step == run.branch_step and writes:
                _save_branch(folder, trainer)
            _save(checkpoints, session, progress, phase, metrics_log.elapsed_seconds())
        # A request that came while the last steps were being saved must not be lost: a study
        # would go on with its next run.
        if trainer.agree_to_stop():
            raise _preempted(trainer.step, phase)
    elapsed_seconds = metrics_log.elapsed_seconds()
    trainer.engine.wait_for_all()  # one has written rows and weights that all read
    if phase.final_weights == "best":
        _restore_best(checkpoints, trainer, writes)
    return float(folder.metrics()[-1]["loss"]), elapsed_seconds


@contextlib.contextmanager
def _naming_the_last_good(checkpoints: Checkpoints) -> Iterator[None]:
    """Adds the last good checkpoint to what is said of a loss that is not finite."""
    try:
        yield
    except NonFiniteLossError as error:
        raise NonFiniteLossError(
            f"{error}; last good checkpoint: {checkpoints.newest() or 'none'}"
        ) from None


def _restore_best(checkpoints: Checkpoints, trainer: Trainer, writes: bool) -> None:
    """Restores the best on validation, in all processes the same."""
    step = checkpoints.restore_best().step
    if writes:
        _log.info("final weights: those of step %d, best on validation", step)


def _restore(checkpoints: Checkpoints, trainer: Trainer) -> int:
    """Restores the newest state and says what a change of replicas changes."""
    restored = checkpoints.restore_newest()
    replicas = trainer.engine.num_replicas
    if restored.num_replicas != replicas:
        _log.warning(
            "going on from step %d with %d replicas after %d: the same images in the same order "
            "and batches; sums over replicas round differently, and dropout draws other masks",
            restored.step,
            replicas,
            restored.num_replicas,
        )
    return restored.step


def _save(
    checkpoints: Checkpoints,
    session: _Session,
    progress: Progress,
    phase: PhaseSpec,
    elapsed_seconds: float,
) -> None:
    """Saves where a checkpoint is due or the process is asked to stop."""
    if not (progress.checkpoint_due or progress.stop_requested):
        return
    checkpoints.save()
    state = "preempted" if progress.stop_requested else "running"
    if session.writes:
        session.folder.write_status(state, progress.step, phase.total_steps, elapsed_seconds)
    if progress.stop_requested:
        raise _preempted(progress.step, phase)


def _preempted(step: int, phase: PhaseSpec) -> Preempted:
    return Preempted(
        f"stopped on request at step {step} of {phase.total_steps}, all saved; the same command "
        "goes on from there"
    )


def _split(run: PhaseRun) -> tuple[np.ndarray, Examples | None]:
    """Labels to train on, int32 [N, M], and the images held out of that; None where none are."""
    labels = run.train.labelled(run.space)
    if not run.phase.validation_share:
        return labels, None
    validation = select_share(run.train.image_ids, run.phase.validation_share)
    return np.where(validation[:, None], np.int32(-1), labels), run.train.subset(validation)


def _training_feed(run: PhaseRun, labels: np.ndarray, first_step: int) -> Feed:
    phase = run.phase
    parts = phase.accumulate_steps
    return train_feed(
        run.train,
        labels,
        batch_size=phase.batch_size // parts,
        num_steps=phase.total_steps * parts,
        image_size_px=run.backbone.image_size_px,
        augment=phase.augment,
        seed=stream_seed(run.seed, run.purpose),
        first_step=first_step * parts,
        mixup=phase.mixup,
    )


def _validation(folder: PhaseFolder, final_weights: str) -> float:
    """Accuracy of the final weights on the held-out training images."""
    found = [row["validation_accuracy"] for row in folder.metrics() if row["validation_accuracy"]]
    accuracies = [float(accuracy) for accuracy in found]
    return max(accuracies) if final_weights == "best" else accuracies[-1]


_flops_of: dict[tuple, int | None] = {}


def _cost(run: PhaseRun, trainer: Trainer, memory: PeakMemory) -> dict[str, Any]:
    """What training cost, besides seconds; of a linear probe, its head's training alone."""
    size = run.backbone.image_size_px
    shape = run.train.images.shape[1:] if run.train.holds_features else (size, size, 3)
    # The same for every seed, and counting traces the model.
    key = (run.backbone, _num_head_classes(run), run.mode == LINEAR_PROBE, *shape)
    if key not in _flops_of:
        _flops_of[key] = train_flops_per_image(trainer.model, tuple(shape))
    return {
        "train_flops_per_image": _flops_of[key],
        "peak_memory_bytes": memory.num_bytes(),
        "num_parameters": trainer.model.count_params(),
        "replicas": trainer.engine.num_replicas,
        "device": device_name(),
    }


def _describe(
    run: PhaseRun, last_loss: float | None, elapsed_seconds: float, num_steps: int
) -> dict[str, Any]:
    return {
        "purpose": run.purpose,
        "label_space": run.space.name,
        "num_classes": run.space.num_classes,
        "label_space_fingerprint": run.space.fingerprint,
        "seed": run.seed,
        "last_loss": last_loss,
        "elapsed_seconds": round(elapsed_seconds, 3),
        "images_seen": num_steps * run.phase.batch_size,
    }


def _save_weights(folder: PhaseFolder, trainer: Trainer, classifier: Classifier) -> None:
    _save_h5(folder, trainer, classifier, WEIGHTS)
    if trainer.average_weights():
        with averaged(trainer.model, trainer.average_weights()):
            _save_h5(folder, trainer, classifier, EMA_WEIGHTS)


def _save_branch(folder: PhaseFolder, trainer: Trainer) -> None:
    """The weights that other runs go on from: the average where one is kept, as at the end."""
    with averaged(trainer.model, trainer.average_weights()):
        _save_h5(folder, trainer, trainer.model, BRANCH_WEIGHTS)


def _save_h5(folder: PhaseFolder, trainer: Trainer, classifier: Classifier, name: str) -> None:
    if classifier is not trainer.model:
        classifier.head.set_weights(trainer.model.head.get_weights())
    with replacing(folder.path / name) as partial:
        classifier.save_weights(partial)
