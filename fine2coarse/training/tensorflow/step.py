"""One train step on one replica: loss, gradients, their sum, clipping, update."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from fine2coarse.input.batches import Batch
from fine2coarse.training.engine import StepSpec
from fine2coarse.training.step_parts import clipped, share_of_loss


class TrainStep:
    """The step of a model, its optimizer and a phase; called on every replica.

    Args:
      spec: model, optimizer, phase.
    """

    def __init__(self, spec: StepSpec) -> None:
        self._model, self._optimizer, self._phase = spec.model, spec.optimizer, spec.phase

    @tf.autograph.experimental.do_not_convert  # no tensor decides a branch; this traces faster
    def __call__(self, parts: Sequence[Batch]) -> tuple[tf.Tensor, tf.Tensor]:
        """Does one step.

        Args:
          parts: this replica's piece of each part of the batch.

        Returns:
          The mean loss over the whole batch, and the norm of the gradient before clipping; both
          float32 scalars, the same on every replica.
        """
        loss, gradients = self._loss_and_gradients(parts[0])
        for part in parts[1:]:
            part_loss, part_gradients = self._loss_and_gradients(part)
            loss += part_loss
            gradients = [_sum(a, b) for a, b in zip(gradients, part_gradients, strict=True)]
        loss, *gradients = sum_over_replicas([loss, *gradients])
        norm = tf.linalg.global_norm(gradients)
        gradients = clipped(gradients, norm, self._phase.optimizer.max_gradient_norm)
        self._optimizer.apply(gradients, self._model.trainable_variables)
        return loss, norm

    def _loss_and_gradients(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """This replica's share of the batch's mean loss, and its gradients."""
        variables = [variable.value for variable in self._model.trainable_variables]
        with tf.GradientTape() as tape:
            loss = share_of_loss(self._phase, self._predict, batch)
            loss += self._regularisation()
        return loss, tape.gradient(loss, variables)

    def _predict(self, images: tf.Tensor) -> tf.Tensor:
        return self._model(images, training=True)

    def _regularisation(self) -> tf.Tensor | float:
        """A replica's share, for one part, of what layers add to the loss (loaded models do)."""
        num_replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        shares = num_replicas * self._phase.accumulate_steps
        return sum(tf.cast(loss, tf.float32) for loss in self._model.losses) / shares


def _sum(first: tf.Tensor | tf.IndexedSlices, second: tf.Tensor | tf.IndexedSlices) -> tf.Tensor:
    """The sum of two gradients; that of a table looked up by index is sparse."""
    return tf.convert_to_tensor(first) + tf.convert_to_tensor(second)


def sum_over_replicas(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """The sums over all replicas; called in a replica's context."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)
