"""Keras optimizers and learning-rate schedules from their specs."""

from __future__ import annotations

from collections.abc import Collection

import keras
from keras import ops

from fine2coarse.models.roles import kernels, moving_statistics
from fine2coarse.recipes.phase_spec import OptimizerSpec


def build_optimizer(
    spec: OptimizerSpec, total_steps: int, model: keras.Model
) -> keras.optimizers.Optimizer:
    """An optimizer built for the model's trainable variables, its schedule ending at total_steps.

    Weight decay applies to the kernels of linear layers alone (`models.roles`). The gradients
    that it is given must be summed over the replicas already.

    Args:
      spec: optimizer, schedule, decay, per-part learning rates, averaging.
      total_steps: where the schedule ends.
      model: what its attribute `backbone` holds, if it has one, learns at the backbone's rate.
    """
    schedule = learning_rate_schedule(spec, total_steps)
    if spec.name == "sgd":
        nesterov = spec.momentum > 0
        optimizer = SgdByRole(schedule, momentum=spec.momentum, nesterov=nesterov)
    elif spec.name == "adamw":
        optimizer = AdamByRole(schedule, beta_1=spec.beta_1, beta_2=spec.beta_2, epsilon=1e-8)
    else:
        optimizer = LionByRole(schedule, beta_1=spec.beta_1, beta_2=spec.beta_2)
    backbone = getattr(model, "backbone", None)
    body = backbone.trainable_variables if backbone is not None else ()
    optimizer.assign_roles(
        spec, model.trainable_variables, kernels(model), body, moving_statistics(model)
    )
    optimizer.build(model.trainable_variables)
    return optimizer


class _ByRole:
    """Adds to a Keras optimizer: decay and learning rate by role, and an average of the weights.

    All three happen in `update_step`, which Keras calls for one variable on one device, so they
    work the same under every strategy. Keras's own decay would ignore per-part learning rates;
    its averaging is not written for variables that are mirrored over devices.

    The average is of the moving statistics of batch normalisation too, by the same decay: those
    of the last weights do not fit averaged ones. So do timm's `ModelEmaV2` and the training of
    TensorFlow's EfficientNets.
    """

    average_decay = 0.0

    def assign_roles(
        self,
        spec: OptimizerSpec,
        variables: list[keras.Variable],
        decayed: Collection[keras.Variable],
        body: Collection[keras.Variable],
        statistics: list[keras.Variable],
    ) -> None:
        """Says, in the order of the variables, what decays and what learns at another rate."""
        decayed_ids, body_ids = {id(v) for v in decayed}, {id(v) for v in body}
        self._decays = [spec.weight_decay * (id(v) in decayed_ids) for v in variables]
        self._factors = [spec.backbone_rate_factor if id(v) in body_ids else 1.0 for v in variables]
        self.average_decay = spec.ema_decay
        # Behind a function: variables that are an attribute Keras takes for the optimizer's own.
        self._statistics = lambda: statistics

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes the slots, and the averages, which start at the weights."""
        super().build(variables)
        self.averages = []  # of the variables
        self.statistics_averages = []
        if not self.average_decay:
            return
        self.averages = [self._average_of(variable) for variable in variables]
        self.statistics_averages = [self._average_of(variable) for variable in self._statistics()]

    def _average_of(self, variable: keras.Variable) -> keras.Variable:
        average = self.add_variable_from_reference(variable, name="average")
        average.assign(variable)
        return average

    def restart_statistics(self) -> None:
        """The averages of the statistics begin anew, at the statistics."""
        for average, variable in zip(self.statistics_averages, self._statistics()):
            average.assign(variable.numpy())

    def apply(
        self,
        grads: list[keras.KerasTensor],
        trainable_variables: list[keras.Variable] | None = None,
    ) -> None:
        """Averages the statistics, which the step's forward pass has moved, and does the step."""
        for average, variable in zip(self.statistics_averages, self._statistics()):
            decay = ops.cast(self._decay(), average.dtype)
            # As below, but exact where a statistic does not move. Each replica has its own, as of
            # the statistics themselves.
            average.assign_add((1.0 - decay) * (variable - average))
        super().apply(grads, trainable_variables)

    def _decay(self) -> keras.KerasTensor:
        """Of the averages, at this step; a float32 scalar."""
        return average_decay_at(self.average_decay, self.iterations)

    def update_step(
        self,
        gradient: keras.KerasTensor,
        variable: keras.Variable,
        learning_rate: keras.KerasTensor,
    ) -> None:
        """Decays, updates and averages one variable."""
        index = self._get_variable_index(variable)
        rate = ops.cast(learning_rate, variable.dtype) * self._factors[index]
        if self._decays[index]:
            self.assign_sub(variable, variable * (rate * self._decays[index]))
        super().update_step(gradient, variable, rate)
        if self.average_decay:
            decay = ops.cast(self._decay(), variable.dtype)
            average = self.averages[index]
            self.assign(average, decay * average + (1.0 - decay) * variable)

    def _all_reduce_sum_gradients(self, grads_and_vars: list) -> list:
        """Keras would sum the gradients over the replicas here; the train step has done so."""
        return list(grads_and_vars)


class SgdByRole(_ByRole, keras.optimizers.SGD):
    """SGD, by role."""


class AdamByRole(_ByRole, keras.optimizers.Adam):
    """AdamW: Adam, with the decay of `_ByRole`."""


class LionByRole(_ByRole, keras.optimizers.Lion):
    """Lion, by role."""


def average_decay_at(decay: float, step: keras.KerasTensor) -> keras.KerasTensor:
    """Decay of the moving average: min(decay, (1 + t) / (10 + t)), as TensorFlow's own average.

    So the first weights are forgotten fast.
    """
    step = ops.cast(step, "float32")
    return ops.minimum(decay, (1.0 + step) / (10.0 + step))


def learning_rate_schedule(
    spec: OptimizerSpec, total_steps: int
) -> keras.optimizers.schedules.LearningRateSchedule | float:
    """Linear warmup from 0, then the decay; a plain number where there is neither."""
    schedules = keras.optimizers.schedules
    decay_steps = max(total_steps - spec.warmup_steps, 1)
    if spec.decay == "cosine":
        if not spec.warmup_steps:
            return schedules.CosineDecay(spec.learning_rate, decay_steps)
        return schedules.CosineDecay(
            0.0, decay_steps, warmup_target=spec.learning_rate, warmup_steps=spec.warmup_steps
        )
    end = spec.learning_rate if spec.decay == "constant" else 0.0
    after = schedules.PolynomialDecay(spec.learning_rate, decay_steps, end)
    if not spec.warmup_steps:
        return spec.learning_rate if spec.decay == "constant" else after
    return _Warmup(after, spec.learning_rate, spec.warmup_steps)


class _Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warmup to the peak, then another schedule."""

    def __init__(
        self,
        after: keras.optimizers.schedules.LearningRateSchedule,
        peak: float,
        warmup_steps: int,
    ) -> None:
        self._after, self._peak, self._warmup_steps = after, peak, warmup_steps

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        step = ops.cast(step, "float32")
        warm = self._peak * step / self._warmup_steps
        after = self._after(ops.maximum(step - self._warmup_steps, 0.0))
        return ops.where(step < self._warmup_steps, warm, after)
