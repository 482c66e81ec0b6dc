"""What one phase of training is made of: steps, batch, optimizer, schedule, augmentation."""

from __future__ import annotations

import dataclasses

from fine2coarse.data.images import AugmentSpec

OPTIMIZERS = ("sgd", "adamw")
DECAYS = ("cosine", "linear", "constant")
PRECISIONS = ("float32", "mixed_bfloat16")


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{what} is one of {choices}, got {value!r}")


@dataclasses.dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer and its learning-rate schedule.

    Attributes:
      name: 'sgd' (with Nesterov momentum) or 'adamw'.
      learning_rate: the peak, after the warmup.
      momentum: of SGD.
      weight_decay: decoupled for AdamW; for SGD added to the loss's gradient. Applied to
        kernels alone, never to biases or normalisation.
      warmup_steps: steps of linear warmup from 0.
      decay: 'cosine' or 'linear' to 0 at the last step, or 'constant'.
    """

    name: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    warmup_steps: int = 0
    decay: str = "cosine"

    def __post_init__(self) -> None:
        """Checks choices and signs."""
        _check_choice("optimizer", self.name, OPTIMIZERS)
        _check_choice("decay", self.decay, DECAYS)
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        for field in ("momentum", "weight_decay", "warmup_steps"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field} must not be negative, got {getattr(self, field)}")


@dataclasses.dataclass(frozen=True)
class PhaseSpec:
    """One phase of training.

    Attributes:
      total_steps: optimizer steps.
      batch_size: images a step, over all replicas.
      optimizer: optimizer and schedule.
      augment: random changes of the images.
      label_smoothing: share of the target spread over all classes.
      log_every_steps: steps between two rows of `metrics.csv`.
      checkpoint_every_steps: steps between two checkpoints.
    """

    total_steps: int
    batch_size: int
    optimizer: OptimizerSpec = OptimizerSpec()
    augment: AugmentSpec = AugmentSpec()
    label_smoothing: float = 0.0
    log_every_steps: int = 50
    checkpoint_every_steps: int = 500

    def __post_init__(self) -> None:
        """Checks signs and ranges."""
        for field in ("total_steps", "batch_size", "log_every_steps", "checkpoint_every_steps"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, got {getattr(self, field)}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")
        if self.optimizer.warmup_steps > self.total_steps:
            raise ValueError(
                f"warmup_steps={self.optimizer.warmup_steps} exceeds total_steps={self.total_steps}"
            )
