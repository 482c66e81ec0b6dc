"""The training loop: one for both backends and every strategy, resumable at any checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator

import keras
import numpy as np

from fine2coarse.errors import FailedError, UsageError
from fine2coarse.input.feeds import Feed
from fine2coarse.recipes.phase_spec import PhaseSpec
from fine2coarse.training.engine import Engine, StepRunner, StepSpec
from fine2coarse.training.gate import Gate
from fine2coarse.training.optimizers import build_optimizer, learning_rate_schedule

# Above this share of the time spent waiting for input, a hint is shown.
SLOW_INPUT_SHARE = 0.1
# Seconds after which the compiled loop returns to Python: for Ctrl-C, a bar that moves, and several
# processes that agree to stop.
CALL_SECONDS = 3.0
_MAX_CALL_STEPS = 2**20
_log = logging.getLogger(__name__)


class NonFiniteLossError(FailedError, ArithmeticError):
    """The loss or the gradient became infinite or not a number."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where training stands after some steps.

    Attributes:
      step: steps done.
      loss: mean loss over the steps since the last report.
      learning_rate: of the last step.
      log_due: whether `log_every_steps` wants a row here.
      checkpoint_due: whether `checkpoint_every_steps` wants a checkpoint here.
      validation_due: whether `validate_every_steps` wants a look at the validation images here.
      input_wait_seconds: spent waiting for batches since the last Progress.
      stop_requested: whether some process wants to stop here (`request_stop`).
    """

    step: int
    loss: float
    learning_rate: float
    log_due: bool
    checkpoint_due: bool
    validation_due: bool = False
    input_wait_seconds: float = 0.0
    stop_requested: bool = False


class HostArray:
    """Numbers of the loop's own, kept and restored like variables.

    Args:
      value: first values; says shape and dtype.
    """

    def __init__(self, value: np.ndarray) -> None:
        self._value = np.array(value)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self._value.shape

    def numpy(self) -> np.ndarray:
        """A copy."""
        return self._value.copy()

    def assign(self, value: np.ndarray) -> None:
        """Sets all values."""
        self._value[...] = value


class Trainer:
    """A model, its optimizer and the compiled step, on an engine.

    Args:
      engine: the process's engine.
      build_model: makes the model; called in the engine's scope.
      phase: steps, batch size, optimizer, loss.
      jit_compile: whether to compile the whole step with XLA; see `choose_jit_compile`.
      pause_step: a step at which training pauses, whatever the intervals say; 0 for none.

    Raises:
      UsageError: where the batch does not divide among the replicas.
    """

    def __init__(
        self,
        engine: Engine,
        build_model: Callable[[], keras.Model],
        phase: PhaseSpec,
        jit_compile: bool = False,
        pause_step: int = 0,
    ) -> None:
        _check_batch_divides(phase, engine.num_replicas)
        self.engine, self.phase = engine, phase
        self._pause_step = pause_step
        self._schedule = learning_rate_schedule(phase.optimizer, phase.total_steps)
        with engine.scope():
            self.model = build_model()
            self.optimizer = build_optimizer(phase.optimizer, phase.total_steps, self.model)
        self._spec = StepSpec(self.model, self.optimizer, phase, jit_compile)
        # Sum and number of the losses since the last log row: a checkpoint may fall between
        # two rows, and the next row must not depend on that.
        self._unlogged = HostArray(np.zeros(2, np.float64))
        # The sum of those since the last pause that an interval asked for, which is added in
        # float32 step by step, wherever a call of the loop ended.
        self._part_sum = HostArray(np.float32(0.0))
        self._gate = Gate(obeys=not engine.is_multi_process)

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return int(self.optimizer.iterations.numpy())

    @property
    def state_variables(self) -> list[keras.Variable | HostArray]:
        """All that a checkpoint must hold, seed generators of dropout layers included."""
        variables = [*self.model.variables, *self.optimizer.variables]
        return [*variables, self._unlogged, self._part_sum]

    @property
    def newer_variables(self) -> list[keras.Variable | HostArray]:
        """Those of the state that checkpoints of earlier versions do not hold."""
        return [*self.optimizer.statistics_averages, self._part_sum]

    def start_newer_variables(self) -> None:
        """Gives them their first values, once the rest of the state is restored."""
        self._part_sum.assign(0.0)
        if self.optimizer.statistics_averages:
            self.optimizer.restart_statistics()
            _log.warning(
                "the checkpoint, of an earlier version, has no averages of the batch-norm "
                "statistics: they start at the statistics of step %d",
                self.step,
            )

    def request_stop(self) -> None:
        """Asks every process of the engine to stop after the step under way; from any thread."""
        if not self._gate.stop:
            self._gate.stop = True
            _log.info("asked to stop: the step under way will be finished and its state saved")

    @property
    def stop_requested(self) -> bool:
        """Whether this process was asked to stop."""
        return self._gate.stop

    def agree_to_stop(self) -> bool:
        """Whether any process of the engine was asked to stop; all call this at the same step."""
        return self.engine.agree(self.stop_requested, 0)[0]

    def average_weights(self) -> list[keras.Variable]:
        """The moving averages, as `averaged` takes them; empty where none are kept."""
        return [*self.optimizer.averages, *self.optimizer.statistics_averages]

    def train(self, feed: Feed) -> Iterator[Progress]:
        """Trains to the phase's last step, pausing wherever a log row or checkpoint is due.

        Steps are done in calls of a compiled loop, each of about three seconds at most. No number
        depends on where a call ends.

        Args:
          feed: the batches of the steps from `self.step` on.

        Yields:
          Progress: at every multiple of the intervals, at `pause_step`, at the end, where a process
          was asked to stop, and every three seconds between.

        Raises:
          NonFiniteLossError: naming the step and the learning rate.
        """
        with contextlib.closing(self.engine.step_runner(self._spec, feed, self._gate)) as run_steps:
            yield from self._run(run_steps)

    def _run(self, run_steps: StepRunner) -> Iterator[Progress]:
        calls, phase, step = _CallLength(), self.phase, self.step
        told_step, told_seconds, waited, num_steps = step, time.perf_counter(), 0.0, 1
        while step < phase.total_steps:
            due = self._next_due(step)
            limit = min(due, told_step + phase.steps_per_call) if phase.steps_per_call else due
            started = time.perf_counter()
            done, loss_sum, num_good = run_steps(
                min(limit - step, num_steps), float(self._part_sum.numpy())
            )
            now = time.perf_counter()
            waited += self._gate.take_waited_seconds(done)
            if num_good < done:
                raise self._not_finite(step + num_good)
            step += done
            self._add_losses(loss_sum, done, ends_part=step == due)
            calls.took(now - started, done)
            stopping, num_steps = self.engine.agree(self.stop_requested, calls.num_steps)
            if step == limit or stopping or now - told_seconds > CALL_SECONDS:
                yield self._progress(step, step == due, waited, stopping)
                told_step, told_seconds, waited = step, time.perf_counter(), 0.0

    def _add_losses(self, loss_sum: float, num_losses: int, *, ends_part: bool) -> None:
        """Takes in what a call returned: the sum of the part under way, and the call's steps."""
        total, count = self._unlogged.numpy()
        self._unlogged.assign([total + loss_sum if ends_part else total, count + num_losses])
        self._part_sum.assign(0.0 if ends_part else loss_sum)

    def _progress(self, step: int, is_due: bool, waited: float, stopping: bool) -> Progress:
        """Where training stands; the losses begin anew where a row is due."""
        phase = self.phase
        total, count = self._unlogged.numpy()
        validation_due = (
            is_due
            and bool(phase.validation_share)
            and self._is_due(phase.validate_every_steps or phase.checkpoint_every_steps, step)
        )
        log_due = validation_due or (is_due and self._is_due(phase.log_every_steps, step))
        if log_due:
            self._unlogged.assign([0.0, 0.0])
        return Progress(
            step=step,
            loss=float(total + self._part_sum.numpy()) / max(float(count), 1.0),
            learning_rate=self._learning_rate_at(step - 1),
            log_due=log_due,
            checkpoint_due=is_due and self._is_due(phase.checkpoint_every_steps, step),
            validation_due=validation_due,
            input_wait_seconds=waited,
            stop_requested=stopping,
        )

    def _is_due(self, interval: int, step: int) -> bool:
        return step % interval == 0 or step == self.phase.total_steps

    def _next_due(self, step: int) -> int:
        """The next step at which an interval, `pause_step` or the end asks for a pause."""
        phase = self.phase
        intervals = [phase.log_every_steps, phase.checkpoint_every_steps]
        if phase.validation_share and phase.validate_every_steps:
            intervals.append(phase.validate_every_steps)
        due = min((step // interval + 1) * interval for interval in intervals)
        if step < self._pause_step:
            due = min(due, self._pause_step)
        return min(due, phase.total_steps)

    def _not_finite(self, step: int) -> NonFiniteLossError:
        """What is said where the step after `step` fails."""
        return NonFiniteLossError(
            f"the loss or its gradient is not finite at step {step + 1}, learning rate "
            f"{self._learning_rate_at(step):g}; try a smaller learning_rate, a longer "
            "warmup_steps or max_gradient_norm=1.0"
        )

    def _learning_rate_at(self, step: int) -> float:
        rate = self._schedule(step) if callable(self._schedule) else self._schedule
        return float(keras.ops.convert_to_numpy(keras.ops.cast(rate, "float32")))


class _CallLength:
    """How many steps the next call of the compiled loop has: about `CALL_SECONDS` of them.

    At most twice those of the call before, so that a batch or two that lay ready do not make input
    look faster than it is.
    """

    def __init__(self) -> None:
        self.num_steps = 1

    def took(self, seconds: float, num_steps: int) -> None:
        """A call of so many steps took so long."""
        fitting = int(CALL_SECONDS * num_steps / max(seconds, 1e-9))
        self.num_steps = max(1, min(fitting, 2 * self.num_steps, _MAX_CALL_STEPS))


def _check_batch_divides(phase: PhaseSpec, num_replicas: int) -> None:
    pieces = num_replicas * phase.accumulate_steps
    if phase.batch_size % pieces:
        raise UsageError(
            f"batch_size={phase.batch_size} does not divide among {num_replicas} replicas"
            + (f" × {phase.accumulate_steps} parts" if phase.accumulate_steps > 1 else "")
            + "; use a multiple"
        )
    if phase.mixup and phase.batch_size // pieces % 2:
        raise UsageError(
            f"mixup pairs images, so each replica needs an even number of them; "
            f"batch_size={phase.batch_size} gives {phase.batch_size // pieces}"
        )
