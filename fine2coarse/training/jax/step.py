"""The train step as a pure function: loss, gradients, clipping, update, by Keras' stateless calls.

Over a mesh the batch is divided among the devices and the weights are the same on each. The
function is written for the whole batch: sums over it, and the statistics of batch normalisation,
are those of all devices, and the compiler sums the gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import jax
import keras
from jax import numpy as jnp

from fine2coarse.training.engine import StepSpec
from fine2coarse.training.step_parts import clipped, share_of_loss

State = tuple[list[jax.Array], list[jax.Array], list[jax.Array]]
"""Values of a model's trainable and its other variables, and of the optimizer's."""
Totals = list[jax.Array]
"""Sum of the losses, whether all were finite, and how many came before one that was not."""


class Variables:
    """The variables of a training, and their values as a state.

    Args:
      model: trained.
      optimizer: built for it.
    """

    def __init__(self, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
        self.trainable = list(model.trainable_variables)
        self.others = list(model.non_trainable_variables)
        self.slots = list(optimizer.variables)

    def values(self) -> State:
        """What the variables hold, each an array of its own: the step overwrites them."""
        seen: set[int] = set()

        def own(value: jax.Array) -> jax.Array:
            # A moving average starts as the very array of its weight.
            is_shared = id(value) in seen
            seen.add(id(value))
            return jnp.copy(value) if is_shared else value

        groups = (self.trainable, self.others, self.slots)
        return tuple([own(variable.value) for variable in group] for group in groups)

    def assign(self, state: State) -> None:
        """Gives the variables a state."""
        for group, values in zip((self.trainable, self.others, self.slots), state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)

    def scope(self, state: State) -> keras.StatelessScope:
        """In which the variables have the values of a state, and keep what is assigned."""
        pairs = zip((*self.trainable, *self.others, *self.slots), (*state[0], *state[1], *state[2]))
        return keras.StatelessScope(state_mapping=list(pairs))

    def state_of(self, scope: keras.StatelessScope) -> State:
        """The values in a scope."""
        groups = (self.trainable, self.others, self.slots)
        return tuple([scope.get_current_value(v) for v in group] for group in groups)


class TrainStep:
    """One step: a function of state, totals, the parts of a batch, and images on the devices.

    Args:
      spec: model, optimizer, phase.
      prepare: a part and the images to {image, label, weight[, own_share]}.
    """

    def __init__(self, spec: StepSpec, prepare: Callable) -> None:
        self._spec, self._prepare = spec, prepare
        self._variables = Variables(spec.model, spec.optimizer)
        self._gradients = jax.value_and_grad(self._loss, has_aux=True)

    def __call__(
        self,
        state: State,
        totals: Totals,
        parts: Sequence[Mapping[str, jax.Array]],
        images: jax.Array | None,
    ) -> tuple[State, Totals]:
        """Does one step."""
        trainable, others, slots = state
        loss, gradients = 0.0, None
        for part in parts:
            batch = self._prepare(part, images)
            (share, others), found = self._gradients(trainable, others, batch)
            loss += share
            gradients = found if gradients is None else jax.tree.map(jnp.add, gradients, found)
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients))
        gradients = clipped(gradients, norm, self._spec.phase.optimizer.max_gradient_norm)
        with self._variables.scope((trainable, others, slots)) as scope:
            self._spec.optimizer.apply(gradients, self._variables.trainable)
        loss_sum, is_good, num_good = totals
        is_good &= jnp.isfinite(loss) & jnp.isfinite(norm)
        totals = [loss_sum + loss, is_good, num_good + is_good.astype(num_good.dtype)]
        return self._variables.state_of(scope), totals

    def _loss(
        self,
        trainable: list[jax.Array],
        others: list[jax.Array],
        batch: Mapping[str, jax.Array],
    ) -> tuple[jax.Array, list[jax.Array]]:
        """A part's share of the batch's mean loss, and the other variables after it."""
        model, phase, after = self._spec.model, self._spec.phase, {}

        def predict(images: jax.Array) -> jax.Array:
            logits, after["others"], after["losses"] = model.stateless_call(
                trainable, others, images, training=True, return_losses=True
            )
            return logits

        loss = share_of_loss(phase, predict, batch)
        # What layers add to the loss, once a step.
        loss += sum(after["losses"]) / phase.accumulate_steps
        return loss, after["others"]


def repeated(step: TrainStep) -> Callable:
    """Several steps in one call: its parts have a leading axis, of which `num_steps` are taken."""

    def steps(
        state: State,
        totals: Totals,
        stacked: Sequence[Mapping[str, jax.Array]],
        num_steps: jax.Array,
        images: jax.Array | None,
    ) -> tuple[State, Totals]:
        def body(number: jax.Array, carry: tuple[State, Totals]) -> tuple[State, Totals]:
            parts = jax.tree.map(lambda values: values[number], stacked)
            return step(*carry, parts, images)

        return jax.lax.fori_loop(0, num_steps, body, (state, totals))

    return steps
