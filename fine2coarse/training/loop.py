"""The training loop: one for every strategy, resumable at any checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from fine2coarse.training.losses import softmax_cross_entropy
from fine2coarse.training.optimizers import build_optimizer
from fine2coarse.training.spec import PhaseSpec


class NonFiniteLossError(ArithmeticError):
    """The loss became infinite or not a number."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where training stands after some steps.

    Attributes:
      step: steps done.
      loss: mean loss over the steps since the last report.
      learning_rate: of the last step.
      log_due: whether `log_every_steps` wants a row here.
      checkpoint_due: whether `checkpoint_every_steps` wants a checkpoint here.
    """

    step: int
    loss: float
    learning_rate: float
    log_due: bool
    checkpoint_due: bool


class Trainer:
    """A model, its optimizer and the compiled step, under a strategy.

    Args:
      strategy: the process's strategy.
      build_model: makes the model; called in the strategy's scope.
      phase: steps, batch size, optimizer, loss.

    Raises:
      ValueError: where the batch does not divide among the replicas.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        build_model: Callable[[], keras.Model],
        phase: PhaseSpec,
    ) -> None:
        if phase.batch_size % strategy.num_replicas_in_sync:
            raise ValueError(
                f"batch_size={phase.batch_size} does not divide among "
                f"{strategy.num_replicas_in_sync} replicas; use a multiple"
            )
        self.strategy, self.phase = strategy, phase
        with strategy.scope():
            self.model = build_model()
            self.optimizer = build_optimizer(phase.optimizer, phase.total_steps, self.model)
            # Sum and number of the losses since the last log row: a checkpoint may fall between
            # two rows, and the next row must not depend on that.
            self._unlogged = tf.Variable([0.0, 0.0], dtype=tf.float64, trainable=False)

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return int(self.optimizer.iterations.numpy())

    @property
    def state_variables(self) -> list[tf.Variable]:
        """All that a checkpoint must hold, seed generators of dropout layers included."""
        variables = [*self.model.variables, *self.optimizer.variables]
        return [*(variable.value for variable in variables), self._unlogged]

    def train(self, batches: tf.data.Dataset) -> Iterator[Progress]:
        """Trains to the phase's last step, pausing wherever a log row or checkpoint is due.

        Args:
          batches: those of the steps from `self.step` on.

        Yields:
          Progress, at every multiple of the two intervals and at the end.

        Raises:
          NonFiniteLossError: naming the steps and the learning rate.
        """
        iterator = iter(self.strategy.experimental_distribute_dataset(batches))
        run_steps = self._compile()
        phase = self.phase
        step = self.step
        while step < phase.total_steps:
            stop = min(_next_multiple(step, n) for n in self._intervals())
            stop = min(stop, phase.total_steps)
            loss = float(run_steps(iterator, tf.constant(stop - step)))
            learning_rate = float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))
            if not tf.math.is_finite(loss):
                raise NonFiniteLossError(
                    f"the loss is {loss} between steps {step} and {stop} at learning rate "
                    f"{learning_rate:g}; try a smaller learning_rate or a longer warmup_steps"
                )
            loss_sum, num_losses = self._unlogged.numpy() + [loss, stop - step]
            step = stop
            log_due = step % phase.log_every_steps == 0 or step == phase.total_steps
            self._unlogged.assign([0.0, 0.0] if log_due else [loss_sum, num_losses])
            yield Progress(
                step=step,
                loss=loss_sum / num_losses,
                learning_rate=learning_rate,
                log_due=log_due,
                checkpoint_due=step % phase.checkpoint_every_steps == 0
                or step == phase.total_steps,
            )

    def _intervals(self) -> tuple[int, int]:
        return self.phase.log_every_steps, self.phase.checkpoint_every_steps

    def _compile(self) -> Callable[[Iterator, tf.Tensor], tf.Tensor]:
        """The function that runs several steps and returns the sum of their losses."""

        def replica_step(batch: dict[str, tf.Tensor]) -> tf.Tensor:
            with tf.GradientTape() as tape:
                logits = self.model(batch["image"], training=True)
                losses = softmax_cross_entropy(logits, batch["label"], self.phase.label_smoothing)
                loss = tf.reduce_sum(losses * batch["weight"]) / self.phase.batch_size
            variables = self.model.trainable_variables
            gradients = tape.gradient(loss, [v.value for v in variables])
            # The optimizer sums the gradients over the replicas.
            self.optimizer.apply(gradients, variables)
            return loss

        @tf.function
        def run_steps(iterator: Iterator, num_steps: tf.Tensor) -> tf.Tensor:
            total = tf.constant(0.0)
            for _ in tf.range(num_steps):
                per_replica = self.strategy.run(replica_step, args=(next(iterator),))
                total += self.strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)
            return total

        return run_steps


def _next_multiple(step: int, interval: int) -> int:
    return (step // interval + 1) * interval
