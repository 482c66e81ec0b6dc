"""What the loop costs over the bare step; time to the first step; memory; cost of many classes.

  python benchmarks/loop.py                 (resnet18 at 32 px)
  python benchmarks/loop.py --part=classes  (the step with 38 to 21,843 classes)

The loop's side is a real run with input, metrics, a log row every 50 steps and a checkpoint every
500, as by default, and 10 steps a call; the bare side calls the same step, compiled the same, on
one fixed batch. They take turns of 50 steps within one process, so that a machine that is slower
for a while is so for both. Not counted are the first 50 steps, and what a run does once at its end.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

CLASS_COUNTS = (38, 519, 5995, 21843)
TURN_STEPS = 50


def make_run(arguments: argparse.Namespace, num_classes: int, num_steps: int):
    """A run on random images held in memory."""
    import tensorflow as tf

    from fine2coarse.input import Examples
    from fine2coarse.labels import LabelSpace
    from fine2coarse.models import BackboneSpec
    from fine2coarse.recipes.phase_spec import AugmentSpec, OptimizerSpec, PhaseSpec
    from fine2coarse.runs.phase_run import PhaseRun

    size, count = arguments.image_size_px, 512
    generator = np.random.default_rng(0)
    images = tf.constant(generator.integers(0, 255, (count, size, size, 3), np.uint8))
    names = tuple(f"c{i}" for i in range(num_classes))
    return PhaseRun(
        purpose="baseline",
        space=LabelSpace(names, names, np.arange(num_classes)[:, None]),
        phase=PhaseSpec(
            total_steps=num_steps,
            batch_size=arguments.batch_size,
            optimizer=OptimizerSpec(learning_rate=0.01),
            augment=AugmentSpec(crop="shift"),
            steps_per_call=10,
        ),
        backbone=BackboneSpec(arguments.model, size),
        seed=0,
        precision="float32",
        train=Examples(
            images, tuple(map(str, range(count))), generator.integers(0, num_classes, count)
        ),
        evaluate=None,
        dataset_fingerprint="x",
    )


def now() -> np.ndarray:
    """Seconds by the wall's clock, and of this process on all its cores."""
    return np.array([time.perf_counter(), time.process_time()])


def take_turns(run, engine, bare: Callable[[int], np.ndarray]) -> tuple[np.ndarray, float]:
    """Seconds a step [turns, side, wall or CPU], sides being loop and bare; those to step 10."""
    from fine2coarse.runs.execution import execute
    from fine2coarse.runs.phase_folder import PhaseFolder
    from fine2coarse.runs.progress import Silent

    class Turns(Silent):
        def __init__(self) -> None:
            self.seconds: list[list[np.ndarray]] = []
            self.to_first = None

        def advance(self, progress, images_per_second):
            at = now()
            if self.to_first is None:
                self.to_first = at[0] - started
            if progress.step % TURN_STEPS:
                return
            if progress.step > TURN_STEPS:
                self.seconds.append([(at - self.since) / TURN_STEPS, bare(TURN_STEPS)])
            self.since = now()

    turns = Turns()
    started = now()[0]
    with tempfile.TemporaryDirectory() as folder:
        execute(run, PhaseFolder(folder), engine, turns)
    return np.array(turns.seconds), turns.to_first


def bare_step(run):
    """A function that does N steps on one batch and returns the seconds of one."""
    import tensorflow as tf

    from fine2coarse.input import train_batches
    from fine2coarse.models import Classifier
    from fine2coarse.training.engine import StepSpec, as_engine, choose_jit_compile
    from fine2coarse.training.optimizers import build_optimizer
    from fine2coarse.training.tensorflow.step import TrainStep

    phase = run.phase
    model = Classifier(run.backbone, run.space.num_classes, seed=0)
    optimizer = build_optimizer(phase.optimizer, 10**6, model)
    jit_compile = choose_jit_compile(as_engine(tf.distribute.get_strategy()), run.backbone.name)
    step = tf.function(TrainStep(StepSpec(model, optimizer, phase)), jit_compile=jit_compile)
    batch = next(
        iter(
            train_batches(
                run.train,
                run.train.labelled(run.space),
                batch_size=phase.batch_size,
                num_steps=1,
                image_size_px=run.backbone.image_size_px,
                augment=phase.augment,
                seed=0,
            )
        )
    )

    def seconds(num_steps: int) -> np.ndarray:
        started = now()
        for _ in range(num_steps):
            loss, _ = step([batch])
        float(loss)
        return (now() - started) / num_steps

    seconds(3)
    return seconds


def overhead(arguments: argparse.Namespace) -> None:
    """Prints the loop's cost over the bare step."""
    import _sides

    from fine2coarse.training.engine import make_engine

    engine = make_engine("one_device")
    run = make_run(arguments, 100, TURN_STEPS * (1 + arguments.num_rounds))
    seconds, to_first = take_turns(run, engine, bare_step(run))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{arguments.model} {arguments.image_size_px} px batch {arguments.batch_size}: the first "
        f"10 steps after {to_first:.1f} s; peak memory {peak:.2f} GiB"
    )
    for what, of_clock in zip(("wall", "CPU"), np.moveaxis(seconds, -1, 0)):
        loop, bare = of_clock.T
        print(
            f"{what} time: loop {1000 * loop.mean():.1f} ms a step, bare {1000 * bare.mean():.1f}, "
            + _sides.ratio_in_turns(loop, bare, "turn")
        )


def classes(arguments: argparse.Namespace) -> None:
    """Prints the step's seconds with few and many classes, rounds taking turns."""
    steps = {n: bare_step(make_run(arguments, n, 10)) for n in CLASS_COUNTS}
    found: dict[int, list[float]] = {n: [] for n in CLASS_COUNTS}
    for _ in range(arguments.num_rounds):
        for num_classes, step in steps.items():
            found[num_classes].append(step(arguments.num_steps)[0])
    for num_classes, seconds in found.items():
        ratios = [a / b for a, b in zip(seconds, found[CLASS_COUNTS[0]])]
        print(
            f"{num_classes} classes: {1000 * statistics.median(seconds):.1f} ms a step, "
            f"{statistics.median(ratios):.3f} of that with {CLASS_COUNTS[0]} "
            f"(lowest {min(ratios):.3f}, highest {max(ratios):.3f})"
        )


def main() -> None:
    """Runs one of the two parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--part", choices=("overhead", "classes"), default="overhead")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--image_size_px", type=int, default=32)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--num_rounds", type=int, default=30)
    parser.add_argument("--num_steps", type=int, default=20, help="a round of classes")
    arguments = parser.parse_args()
    {"overhead": overhead, "classes": classes}[arguments.part](arguments)


if __name__ == "__main__":
    main()
