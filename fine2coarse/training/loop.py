"""The training loop: one for every strategy, resumable at any checkpoint."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from fine2coarse.errors import FailedError, UsageError
from fine2coarse.input.batches import Shard
from fine2coarse.recipes.phase_spec import PhaseSpec
from fine2coarse.training.optimizers import build_optimizer, learning_rate_schedule
from fine2coarse.training.step import TrainStep
from fine2coarse.training.strategy import distribute

# Above this share of the time spent waiting for input, a hint is shown.
SLOW_INPUT_SHARE = 0.1


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


class Trainer:
    """A model, its optimizer and the compiled step, under a strategy.

    Args:
      strategy: the process's strategy.
      build_model: makes the model; called in the strategy's scope.
      phase: steps, batch size, optimizer, loss.
      jit_compile: whether to compile the whole step with XLA; see `choose_jit_compile`.
      pause_step: a step at which training pauses, whatever the intervals say; 0 for none.

    Raises:
      UsageError: where the batch does not divide among the replicas.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        build_model: Callable[[], keras.Model],
        phase: PhaseSpec,
        jit_compile: bool = False,
        pause_step: int = 0,
    ) -> None:
        _check_batch_divides(phase, strategy.num_replicas_in_sync)
        self.strategy, self.phase, self.jit_compile = strategy, phase, jit_compile
        self._pause_step = pause_step
        self._schedule = learning_rate_schedule(phase.optimizer, phase.total_steps)
        with strategy.scope():
            self.model = build_model()
            self.optimizer = build_optimizer(phase.optimizer, phase.total_steps, self.model)
            # Sum and number of the losses since the last log row: a checkpoint may fall between
            # two rows, and the next row must not depend on that.
            self._unlogged = tf.Variable([0.0, 0.0], dtype=tf.float64, trainable=False)
        self._stop = False

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return int(self.optimizer.iterations.numpy())

    @property
    def state_variables(self) -> list[tf.Variable]:
        """All that a checkpoint must hold, seed generators of dropout layers included."""
        variables = [*self.model.variables, *self.optimizer.variables]
        return [*(variable.value for variable in variables), self._unlogged]

    def request_stop(self) -> None:
        """Asks every process of the strategy to stop after the steps now running."""
        self._stop = True

    @property
    def stop_requested(self) -> bool:
        """Whether this process was asked to stop."""
        return self._stop

    def average_weights(self) -> list[keras.Variable]:
        """The moving averages of the trainable weights; empty where none are kept."""
        return self.optimizer.averages

    def train(self, make_batches: Callable[[Shard], tf.data.Dataset]) -> Iterator[Progress]:
        """Trains to the phase's last step, pausing wherever a log row or checkpoint is due.

        Args:
          make_batches: the parts of the batches of the steps from `self.step` on, for a host.

        Yields:
          Progress, at every multiple of the intervals, at `pause_step` and at the end.

        Raises:
          NonFiniteLossError: naming the step and the learning rate.
        """
        iterator = iter(distribute(self.strategy, make_batches))
        run_steps = self._compile()
        phase = self.phase
        step = self.step
        while step < phase.total_steps:
            stop = self._next_stop(step)
            done, loss, failed, waited, stopping = run_steps(
                iterator, tf.constant(stop - step), tf.constant(float(self._stop))
            )
            learning_rate = self._learning_rate_at(step + int(done) - 1)
            if bool(failed):
                raise NonFiniteLossError(
                    f"the loss or its gradient is not finite at step {step + int(done)}, learning "
                    f"rate {learning_rate:g}; try a smaller learning_rate, a longer warmup_steps "
                    "or max_gradient_norm=1.0"
                )
            loss_sum, num_losses = self._unlogged.numpy() + [float(loss), stop - step]
            step = stop
            validation_due = bool(phase.validation_share) and self._is_due(
                phase.validate_every_steps or phase.checkpoint_every_steps, step
            )
            log_due = validation_due or self._is_due(phase.log_every_steps, step)
            self._unlogged.assign([0.0, 0.0] if log_due else [loss_sum, num_losses])
            yield Progress(
                step=step,
                loss=loss_sum / num_losses,
                learning_rate=learning_rate,
                log_due=log_due,
                checkpoint_due=self._is_due(phase.checkpoint_every_steps, step),
                validation_due=validation_due,
                input_wait_seconds=float(waited),
                stop_requested=bool(stopping),
            )

    def _is_due(self, interval: int, step: int) -> bool:
        return step % interval == 0 or step == self.phase.total_steps

    def _next_stop(self, step: int) -> int:
        phase = self.phase
        intervals = [phase.log_every_steps, phase.checkpoint_every_steps]
        if phase.validation_share and phase.validate_every_steps:
            intervals.append(phase.validate_every_steps)
        stop = min((step // interval + 1) * interval for interval in intervals)
        stop = min(stop, phase.total_steps)
        if step < self._pause_step:
            stop = min(stop, self._pause_step)
        return min(stop, step + phase.steps_per_call) if phase.steps_per_call else stop

    def _learning_rate_at(self, step: int) -> float:
        rate = self._schedule(step) if callable(self._schedule) else self._schedule
        return float(keras.ops.convert_to_numpy(keras.ops.cast(rate, "float32")))

    def _compile(self) -> Callable:
        """The function that runs several steps on the devices."""
        replica_step = TrainStep(self.model, self.optimizer, self.phase)
        if self.jit_compile:
            replica_step = tf.function(replica_step, jit_compile=True, reduce_retracing=True)
        strategy, num_parts = self.strategy, self.phase.accumulate_steps

        @tf.function
        def run_steps(
            iterator: Iterator, num_steps: tf.Tensor, stop: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            done, loss_sum, failed = tf.constant(0), tf.constant(0.0), tf.constant(False)
            waited = tf.constant(0.0, tf.float64)
            for _ in tf.range(num_steps):
                if not failed:
                    with tf.control_dependencies([loss_sum]):
                        asked = _now()
                    with tf.control_dependencies([asked]):
                        parts = [next(iterator) for _ in range(num_parts)]
                    with tf.control_dependencies(_tensors(strategy, parts)):
                        waited += _now() - asked
                    loss, norm = strategy.run(replica_step, args=(parts,))
                    loss, norm = _first(strategy, loss), _first(strategy, norm)
                    loss_sum += loss
                    done += 1
                    failed = not (tf.math.is_finite(loss) and tf.math.is_finite(norm))
            return done, loss_sum, failed, waited, _any_process(strategy, stop)

        return run_steps


def _now() -> tf.Tensor:
    """Seconds on this host's clock; determinism refuses `tf.timestamp`."""
    return tf.ensure_shape(tf.numpy_function(time.perf_counter, [], tf.float64), [])


def _first(strategy: tf.distribute.Strategy, value: tf.Tensor) -> tf.Tensor:
    """A value that is the same on every replica."""
    return strategy.experimental_local_results(value)[0]


def _any_process(strategy: tf.distribute.Strategy, wish: tf.Tensor) -> tf.Tensor:
    """Whether any process passed a wish > 0: all must come to the same decision."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return wish > 0
    return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(lambda: wish), axis=None) > 0


def _tensors(strategy: tf.distribute.Strategy, parts: list) -> list[tf.Tensor]:
    return [
        tensor
        for part in parts
        for piece in part.values()
        for tensor in strategy.experimental_local_results(piece)
    ]


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
