"""What one phase of training is made of: steps, batch, optimizer, schedule, augmentation."""

from __future__ import annotations

import dataclasses

from fine2coarse.errors import UsageError
from fine2coarse.schema import operational

OPTIMIZERS = ("sgd", "adamw", "lion")
DECAYS = ("cosine", "linear", "constant")
PRECISIONS = ("float32", "mixed_bfloat16")
LOSS_NAMES = ("softmax", "sigmoid")
FINAL_WEIGHTS = ("last", "best")
CROPS = ("none", "shift", "inception")


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{what} is one of {choices}, got {value!r}")


@dataclasses.dataclass(frozen=True)
class AugmentSpec:
    """Random changes of a training image.

    Attributes:
      crop: 'none' (central crop, as in evaluation), 'shift' (pad by `shift_px` and crop back:
        He et al., arXiv 1512.03385, section 4.2) or 'inception' (random area and ratio).
      flip: whether to mirror half of the images left to right.
      shift_px: padding of crop 'shift', in pixels.
      min_area: smallest share of the image's area that crop 'inception' keeps.
      rand_augment_ops: operations of RandAugment after crop and flip; 0 for none.
      rand_augment_magnitude: strength of RandAugment, 10 being the full range of AutoAugment.
    """

    crop: str = "inception"
    flip: bool = True
    shift_px: int = 4
    min_area: float = 0.08
    rand_augment_ops: int = 0
    rand_augment_magnitude: float = 10.0

    def __post_init__(self) -> None:
        """Checks the choice of crop and its numbers."""
        if self.crop not in CROPS:
            raise UsageError(f"crop is one of {CROPS}, got {self.crop!r}")
        if self.shift_px < 0 or not 0 < self.min_area <= 1:
            raise UsageError(
                f"expected shift_px >= 0 and 0 < min_area <= 1, got {self.shift_px} and "
                f"{self.min_area}"
            )
        if self.rand_augment_ops < 0 or self.rand_augment_magnitude < 0:
            raise UsageError(
                f"expected rand_augment_ops >= 0 and rand_augment_magnitude >= 0, got "
                f"{self.rand_augment_ops} and {self.rand_augment_magnitude}"
            )


@dataclasses.dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer and its learning-rate schedule.

    Attributes:
      name: 'sgd' (with Nesterov momentum), 'adamw' or 'lion' (arXiv 2302.06675).
      learning_rate: the peak, after the warmup.
      momentum: of SGD; others do not use it.
      beta_1: decay of the first moment, of AdamW and Lion.
      beta_2: decay of the second, of AdamW and Lion (whose authors use 0.99).
      weight_decay: decoupled: each step takes learning rate × decay × weight. Applied to the
        kernels of linear layers alone, never to biases, normalisation or embeddings.
      warmup_steps: steps of linear warmup from 0.
      decay: of the rate after the warmup: 'cosine' or 'linear' to 0 at the last step, or
        'constant'.
      max_gradient_norm: the gradient's global norm, summed over all replicas, is clipped to
        this; 0 for no clipping.
      backbone_rate_factor: the backbone's learning rate, as a multiple of the head's.
      ema_decay: decay of an exponential moving average of the weights and the batch-norm
        statistics, which is then what is tested; 0 for none. Early on it is smaller: see
        `training/optimizers.py`.
    """

    name: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    beta_1: float = 0.9
    beta_2: float = 0.999
    weight_decay: float = 0.0
    warmup_steps: int = 0
    decay: str = "cosine"
    max_gradient_norm: float = 0.0
    backbone_rate_factor: float = 1.0
    ema_decay: float = 0.0

    def __post_init__(self) -> None:
        """Checks choices and signs."""
        _check_choice("optimizer", self.name, OPTIMIZERS)
        _check_choice("decay", self.decay, DECAYS)
        if self.learning_rate <= 0:
            raise UsageError(f"learning_rate must be positive, got {self.learning_rate}")
        for field in ("weight_decay", "warmup_steps", "max_gradient_norm", "backbone_rate_factor"):
            if getattr(self, field) < 0:
                raise UsageError(f"{field} must not be negative, got {getattr(self, field)}")
        for field in ("momentum", "beta_1", "beta_2", "ema_decay"):
            if not 0 <= getattr(self, field) < 1:
                raise UsageError(f"{field} must be in [0, 1), got {getattr(self, field)}")


@dataclasses.dataclass(frozen=True)
class PhaseSpec:
    """One phase of training.

    Attributes:
      total_steps: optimizer steps of the phase.
      batch_size: images a step, over all replicas and all accumulated parts.
      optimizer: optimizer and schedule.
      augment: random changes of the images.
      loss: 'softmax', with a uniform target over an image's classes, or 'sigmoid', whose new
        head starts at a bias of -10.
      label_smoothing: share of each label's weight that is spread over all classes.
      mixup: alpha of the Beta distribution that mixup draws from; 0 for none. Images are mixed
        in pairs, each pair with a draw of its own.
      accumulate_steps: parts that a batch is split into, one after the other, to save memory.
        Batch normalisation sees one part at a time.
      validation_share: share of the training images that is held out, to choose the best
        checkpoint; never the test images.
      validate_every_steps: steps between two looks at the validation images; 0 for the
        checkpoints' interval.
      final_weights: 'last', or the 'best' on validation.
      log_every_steps: steps between two rows of `metrics.csv`.
      checkpoint_every_steps: steps between two checkpoints.
      checkpoints_to_keep: how many of the newest stay; the best stays besides.
      steps_per_call: most steps between two movements of the progress bar; 0 for all up to the
        next log row, checkpoint or validation. It moves after three seconds in any case.
    """

    total_steps: int
    batch_size: int
    optimizer: OptimizerSpec = OptimizerSpec()
    augment: AugmentSpec = AugmentSpec()
    loss: str = "softmax"
    label_smoothing: float = 0.0
    mixup: float = 0.0
    accumulate_steps: int = 1
    validation_share: float = 0.0
    validate_every_steps: int = 0
    final_weights: str = "last"
    log_every_steps: int = operational(50)
    checkpoint_every_steps: int = operational(500)
    checkpoints_to_keep: int = operational(2)
    steps_per_call: int = operational(0)

    def __post_init__(self) -> None:
        """Checks signs, ranges and choices."""
        _check_choice("loss", self.loss, LOSS_NAMES)
        _check_choice("final_weights", self.final_weights, FINAL_WEIGHTS)
        self._check_numbers()
        if self.optimizer.warmup_steps > self.total_steps:
            raise UsageError(
                f"warmup_steps={self.optimizer.warmup_steps} exceeds total_steps={self.total_steps}"
            )
        if self.batch_size % self.accumulate_steps:
            raise UsageError(
                f"batch_size={self.batch_size} does not divide into "
                f"accumulate_steps={self.accumulate_steps} parts"
            )
        if self.final_weights == "best" and not self.validation_share:
            raise UsageError(
                "final_weights='best' needs validation images: set validation_share, e.g. 0.1 "
                "(a share of the training images; the test images choose nothing)"
            )

    @property
    def validation_interval(self) -> int:
        """Steps between two looks at the validation images; 0 where there are none."""
        if not self.validation_share:
            return 0
        return self.validate_every_steps or self.checkpoint_every_steps

    def normalised(self) -> PhaseSpec:
        """The same with the interval of validation written out, which others stand in for."""
        return dataclasses.replace(self, validate_every_steps=self.validation_interval)

    def _check_numbers(self) -> None:
        at_least_one = ("total_steps", "batch_size", "log_every_steps", "checkpoint_every_steps")
        for field in (*at_least_one, "accumulate_steps", "checkpoints_to_keep"):
            if getattr(self, field) < 1:
                raise UsageError(f"{field} must be at least 1, got {getattr(self, field)}")
        for field in ("mixup", "validate_every_steps", "steps_per_call"):
            if getattr(self, field) < 0:
                raise UsageError(f"{field} must not be negative, got {getattr(self, field)}")
        for field in ("label_smoothing", "validation_share"):
            if not 0 <= getattr(self, field) < 1:
                raise UsageError(f"{field} must be in [0, 1), got {getattr(self, field)}")
