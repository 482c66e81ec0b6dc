"""Does one run with dropout and mixup, and kills itself on the way where told to.

python killable.py '{"folder": "...", "num_replicas": 1, "kill_after_seconds": 0.7}'
"""

from __future__ import annotations

import json
import logging
import os
import pathlib
import signal
import sys
import threading
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

TOTAL_STEPS = 60


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_in_fsync(number: int, suffix: str) -> None:
    """Kills while a checkpoint is written: its bytes are there, its name is not.

    Args:
      number: which one of the files below `checkpoints/`, from 1.
      suffix: of the files that count: '.npz', or '.json' for the score of the best.
    """
    calls, fsync = [], os.fsync

    def counted(descriptor: int) -> None:
        path = pathlib.Path(f"/proc/self/fd/{descriptor}").resolve()
        if path.parent.name == "checkpoints" and path.suffix == suffix:
            calls.append(1)
            if len(calls) == number:
                kill()
        fsync(descriptor)

    os.fsync = counted


def slow_down_steps(seconds: float) -> None:
    """Each step takes so long, in one piece of which Python hears nothing."""
    import numpy as np

    from fine2coarse.training.engine import is_on_jax

    def sleep() -> np.ndarray:
        time.sleep(seconds)
        return np.bool_(True)

    if is_on_jax():
        import jax

        from fine2coarse.training.jax import engine

        class SlowJaxStep(engine.TrainStep):
            def __call__(self, state, totals, parts, images):
                awake = jax.experimental.io_callback(sleep, jax.ShapeDtypeStruct((), bool))
                totals = [totals[0], totals[1] & awake, totals[2]]
                return super().__call__(state, totals, parts, images)

        engine.TrainStep = SlowJaxStep
        return
    import tensorflow as tf

    from fine2coarse.training.tensorflow import engine

    class SlowStep(engine.TrainStep):
        def __call__(self, parts):
            with tf.control_dependencies([tf.numpy_function(sleep, [], tf.bool)]):
                parts = [tf.nest.map_structure(tf.identity, part) for part in parts]
            return super().__call__(parts)

    engine.TrainStep = SlowStep


def let_accuracy_rise() -> None:
    """On validation; so the last weights are the best."""
    from fine2coarse.runs.evaluation import Evaluator

    measure = Evaluator.validation_accuracy
    Evaluator.validation_accuracy = lambda self, images: (
        measure(self, images),
        self._trainer.step / 100,
    )[1]


def slow_down_writing(seconds: float) -> None:
    """Rows and weights come so much later to the disk."""
    from fine2coarse.runs.phase_folder import PhaseFolder
    from fine2coarse.training import checkpoints

    append, write = PhaseFolder.append_metrics, checkpoints._write
    PhaseFolder.append_metrics = lambda *all: (time.sleep(seconds), append(*all))
    checkpoints._write = lambda *all: (time.sleep(seconds), write(*all))


def main(settings: dict) -> None:
    import numpy as np

    from fine2coarse.errors import EXIT_TRY_AGAIN, Preempted
    from fine2coarse.input import Examples
    from fine2coarse.labels import LabelSpace
    from fine2coarse.models import BackboneSpec
    from fine2coarse.recipes.phase_spec import AugmentSpec, OptimizerSpec, PhaseSpec
    from fine2coarse.runs import execution
    from fine2coarse.runs.execution import execute
    from fine2coarse.runs.phase_folder import PhaseFolder
    from fine2coarse.runs.phase_run import PhaseRun
    from fine2coarse.runs.progress import Silent
    from fine2coarse.training.engine import make_engine

    class Armed(Silent):
        is_armed = False  # the clock starts at the first steps: tracing takes longer than they do

        def advance(self, progress, images_per_second):
            if "announce" in settings:
                print("step", progress.step, flush=True)
            if progress.step == settings.get("kill_at_step"):
                kill()

            if "kill_after_seconds" in settings and not self.is_armed:
                self.is_armed = True
                threading.Timer(settings["kill_after_seconds"], kill).start()

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    if "kill_in_fsync" in settings:
        kill_in_fsync(settings["kill_in_fsync"], settings.get("suffix", ".npz"))
    if "step_seconds" in settings:
        slow_down_steps(settings["step_seconds"])
    if settings.get("accuracy_rises"):
        let_accuracy_rise()
    if "write_seconds" in settings:
        slow_down_writing(settings["write_seconds"])
    if not settings.get("xla"):  # compiling takes longer than these steps
        execution.choose_jit_compile = lambda *arguments: False
    replicas = settings.get("num_replicas", 1)
    engine = make_engine("auto" if replicas == 1 else "mirrored", replicas)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 255, (24, 16, 16, 3), np.uint8)
    if "shards" in settings:  # the images of a stream
        from fine2coarse.input.stored import StoredImages
        from tests.input.test_stored import places_in

        images = StoredImages(places_in(settings["shards"]), window_images=16)
    examples = Examples(
        images,
        tuple(f"i{i}" for i in range(24)),
        np.arange(24) % 3,
        on_device=settings.get("on_device", False),
    )
    run = PhaseRun(
        purpose="baseline",
        space=LabelSpace(("a", "b", "c"), ("a", "b", "c"), np.arange(3)[:, None]),
        phase=PhaseSpec(
            total_steps=settings.get("total_steps", TOTAL_STEPS),
            batch_size=8,
            optimizer=OptimizerSpec(learning_rate=0.02, ema_decay=0.9, max_gradient_norm=1.0),
            augment=AugmentSpec(crop="shift", shift_px=2),
            mixup=0.4,
            validation_share=0.2,
            validate_every_steps=settings.get("validate_every_steps", 15),
            final_weights=settings.get("final_weights", "last"),
            log_every_steps=settings.get("log_every_steps", 3),
            checkpoint_every_steps=settings.get("checkpoint_every_steps", 5),
        ),
        backbone=BackboneSpec("mlp_B_2-Wi_64", 16, dropout_rate=0.2),
        seed=0,
        precision="float32",
        train=examples,
        evaluate=examples,
        dataset_fingerprint="x",
    )
    try:
        result = execute(run, PhaseFolder(settings["folder"]), engine, Armed())
    except Preempted:
        sys.exit(EXIT_TRY_AGAIN)
    for timed in ("elapsed_seconds", "cost"):
        del result[timed]
    print(json.dumps(result))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
