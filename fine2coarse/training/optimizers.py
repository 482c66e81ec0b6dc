"""Keras optimizers and learning-rate schedules from their specs."""

from __future__ import annotations

import keras

from fine2coarse.training.spec import OptimizerSpec


def build_optimizer(
    spec: OptimizerSpec, total_steps: int, model: keras.Model
) -> keras.optimizers.Optimizer:
    """An optimizer built for the model's trainable variables, its schedule ending at total_steps.

    Weight decay applies to kernels (two or more dimensions) alone.
    """
    schedule = learning_rate_schedule(spec, total_steps)
    decay = spec.weight_decay or None
    if spec.name == "adamw":
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=decay)
    else:
        nesterov = spec.momentum > 0
        optimizer = keras.optimizers.SGD(
            schedule, momentum=spec.momentum, nesterov=nesterov, weight_decay=decay
        )
    if decay:
        exempt = [v for v in model.trainable_variables if len(v.shape) < 2]
        if exempt:
            optimizer.exclude_from_weight_decay(var_list=exempt)
    optimizer.build(model.trainable_variables)
    return optimizer


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
        step = keras.ops.cast(step, "float32")
        warm = self._peak * step / self._warmup_steps
        after = self._after(keras.ops.maximum(step - self._warmup_steps, 0.0))
        return keras.ops.where(step < self._warmup_steps, warm, after)
