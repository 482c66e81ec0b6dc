"""Coarse logits from a fine head: the probabilities of fine classes, summed into target classes."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
from keras import ops

from fine2coarse.labels.class_map import ClassMap

# Log-probability of a target that no class belongs to.
_NOTHING = -1e4
# Smallest probability whose logarithm is taken, where classes are shared among targets.
_SMALLEST = 1e-37


@dataclasses.dataclass(frozen=True, eq=False)
class Summation:
    """How a fine head's logits become logits of target classes.

    Attributes:
      class_map: M, from the head's classes to the targets.
      fine_loss: loss that the fine head was pretrained with: 'softmax', whose classes exclude each
        other, or 'sigmoid', each class by itself. It says how logits become probabilities.
      loss: loss of the target's logits: 'softmax' or 'sigmoid'.
    """

    class_map: ClassMap
    fine_loss: str = "softmax"
    loss: str = "softmax"

    def __call__(self, logits: keras.KerasTensor) -> keras.KerasTensor:
        """Logits float32 [B, K] of the targets from logits [B, C] of the fine classes.

        With s_k = Σ_c p_c · M[c, k] they are

            log s_k                 for a softmax over the targets: its probabilities are s / Σ s;
            log s_k - log(1 - s_k)  for sigmoids after a fine softmax: s_k is a probability;
            log(exp(s_k) - 1)       for sigmoids after fine sigmoids: s_k is the expected number of
                                    the target's classes in the image, and 1 - exp(-s_k) the
                                    probability of one at least, were that number Poisson.

        All three grow with s_k, so the largest target is that of the summed probabilities: before
        its first step a summed head makes the same errors as the pretrained model used directly.
        """
        logits = ops.cast(logits, "float32")
        if self.fine_loss == "softmax":
            log_fine = ops.log_softmax(logits, axis=-1)
        else:
            log_fine = ops.log_sigmoid(logits)
        log_sums = log_of_sums(log_fine, self.class_map)
        if self.loss == "softmax":
            return log_sums
        sums = ops.exp(log_sums)
        if self.fine_loss == "softmax":
            return log_sums - ops.log(ops.maximum(1.0 - sums, 1e-7))
        # log(exp(s) - 1) = s + log(1 - exp(-s)), and log(1 - exp(-s)) is log s for small s.
        small = sums < 1e-3
        safe = ops.where(small, 1.0, sums)
        return ops.where(small, log_sums + 0.5 * sums, safe + ops.log(-ops.expm1(-safe)))


def log_of_sums(log_fine: keras.KerasTensor, class_map: ClassMap) -> keras.KerasTensor:
    """log Σ_c exp(log_fine)_c · M[c, k].

    Where classes lie within targets it is a log-sum-exp over each target's classes, whose cost and
    memory are those of the logits however many classes there are; else a matrix product.

    Args:
      log_fine: float32 [B, C], at most 0.
      class_map: M [C, K].

    Returns:
      float32 [B, K]; -10,000 for a target without classes.
    """
    if class_map.is_nested:
        summed = _log_sum_exp_within(log_fine, class_map)
    else:
        product = ops.matmul(ops.exp(log_fine), ops.convert_to_tensor(class_map.dense()))
        summed = ops.log(ops.maximum(product, _SMALLEST))
    has_classes = np.bincount(class_map.targets, minlength=class_map.num_targets) > 0
    if has_classes.all():
        return summed
    return ops.where(ops.convert_to_tensor(has_classes), summed, _NOTHING)


def _log_sum_exp_within(log_fine: keras.KerasTensor, class_map: ClassMap) -> keras.KerasTensor:
    num_targets = class_map.num_targets
    # Classes without a target are summed into one more, which is dropped.
    target_of = np.full(class_map.num_classes, num_targets, np.int32)
    target_of[class_map.classes] = class_map.targets
    target_of = ops.convert_to_tensor(target_of)
    by_class = ops.transpose(log_fine)  # [C, B]
    largest = ops.segment_max(ops.stop_gradient(by_class), target_of, num_targets + 1)
    largest = ops.maximum(largest, -1e30)  # of a target without classes
    shifted = ops.exp(by_class - ops.take(largest, target_of, axis=0))
    sums = ops.segment_sum(shifted, target_of, num_targets + 1)
    # Not zero for a target with classes: one of its terms is 1.
    logs = ops.log(ops.maximum(sums, _SMALLEST)) + largest
    return ops.transpose(logs[:num_targets])


class SummedHead(keras.Model):
    """Features float [B, D] to logits float32 [B, K] of the targets, by way of the fine classes.

    Args:
      fine: the fine head, features [B, D] to logits [B, C].
      summation: from these to the targets'.
    """

    def __init__(self, fine: keras.layers.Dense, summation: Summation) -> None:
        super().__init__(name="summed_head", dtype="float32")
        self.fine, self.summation = fine, summation

    def build(self, input_shape: tuple) -> None:
        """Makes the fine head's weights."""
        self.fine.build(input_shape)
        self.built = True

    def call(self, features: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Logits of a batch."""
        return self.summation(self.fine(features))


def averaged_head(
    kernel: np.ndarray, bias: np.ndarray, class_map: ClassMap
) -> tuple[np.ndarray, np.ndarray]:
    """A linear head over the targets from a fine one: the mean of each target's classes.

    The mean is weighted by M's columns; each bias gets the logarithm of its column's sum, so that
    the logits are the lower bound log n + mean z ≤ log Σ exp z of the summed head's.

    Args:
      kernel: float [D, C].
      bias: float [C].
      class_map: M [C, K].

    Returns:
      kernel float32 [D, K] and bias float32 [K].
    """
    table = class_map.dense().astype(np.float64)
    totals = np.maximum(table.sum(0), 1e-12)
    weights = table / totals
    return (
        (kernel.astype(np.float64) @ weights).astype(np.float32),
        (bias.astype(np.float64) @ weights + np.log(totals)).astype(np.float32),
    )
