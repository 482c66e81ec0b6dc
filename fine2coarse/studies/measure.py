"""How long a phase takes on this machine: a few of its own steps, in a folder of their own."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time

from fine2coarse.recipes.start_spec import StartSpec
from fine2coarse.runs.execution import execute
from fine2coarse.runs.phase_folder import PhaseFolder
from fine2coarse.runs.phase_run import PhaseRun
from fine2coarse.runs.progress import Silent
from fine2coarse.studies.plan import Rate
from fine2coarse.training.cost import TRAIN_OVER_FORWARD
from fine2coarse.training.engine import Engine
from fine2coarse.training.loop import Progress

NUM_STEPS = 8
NUM_WARM_STEPS = 2  # the first steps compile, and the input starts up


class _Clock(Silent):
    """Notes when each step was done."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def advance(self, progress: Progress, images_per_second: float) -> None:
        """A step is done."""
        self.times.append(time.perf_counter())


def measure_rate(run: PhaseRun, engine: Engine) -> Rate:
    """Times a phase run that is like another, but short and from scratch.

    Evaluation is not done but estimated as forward passes, a third of a training step's time each.

    Args:
      run: what will be done, from scratch and with a head of its own; a linear probe must be given
        as fine-tuning, which takes longer.
      engine: the process's engine.
    """
    clock, started = _Clock(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        execute(_shortened(run), PhaseFolder(folder), engine, clock)
    elapsed_seconds = time.perf_counter() - started
    gaps = [b - a for a, b in zip(clock.times, clock.times[1:])][NUM_WARM_STEPS - 1 :]
    per_step = statistics.median(gaps)
    overhead = elapsed_seconds - NUM_STEPS * per_step
    if run.evaluate is not None:
        num_images = len(run.evaluate) + len(run.held_out or ())
        num_views = num_images * max(run.test_crops, 1)
        overhead += num_views / run.phase.batch_size * per_step / TRAIN_OVER_FORWARD
    return Rate(per_step, overhead)


def _shortened(run: PhaseRun) -> PhaseRun:
    phase = dataclasses.replace(
        run.phase,
        total_steps=NUM_STEPS,
        optimizer=dataclasses.replace(run.phase.optimizer, warmup_steps=0),
        log_every_steps=1,
        checkpoint_every_steps=NUM_STEPS,
        validation_share=0.0,
        final_weights="last",
    )
    return dataclasses.replace(
        run,
        phase=phase,
        evaluate=None,
        held_out=None,
        target=None,
        start_from=None,
        start=StartSpec(),
        branch_step=0,
    )
