"""Losses over padded integer labels. Keras operations only."""

from __future__ import annotations

import keras
from keras import ops


def softmax_cross_entropy(
    logits: keras.KerasTensor, labels: keras.KerasTensor, label_smoothing: float = 0.0
) -> keras.KerasTensor:
    """Cross-entropy against a uniform target over each image's classes.

    Args:
      logits: float [B, C].
      labels: int [B, M], padded with -1. A class given twice counts once.
      label_smoothing: share of the target that is spread over all C classes.

    Returns:
      float32 [B]; 0 for a row without labels.
    """
    logits = ops.cast(logits, "float32")
    log_sum = ops.logsumexp(logits, axis=-1)
    weights = ops.cast(_is_first_occurrence(labels), "float32")
    num_labels = ops.sum(weights, axis=-1)
    chosen = ops.take_along_axis(logits, ops.maximum(labels, 0), axis=-1)
    mean_chosen = ops.sum(chosen * weights, axis=-1) / ops.maximum(num_labels, 1.0)
    target = (1.0 - label_smoothing) * mean_chosen + label_smoothing * ops.mean(logits, axis=-1)
    return ops.where(num_labels > 0, log_sum - target, 0.0)


def _is_first_occurrence(labels: keras.KerasTensor) -> keras.KerasTensor:
    """Which entries of [B, M] are labels not yet seen in their row (padding is not)."""
    if labels.shape[-1] == 1:
        return labels >= 0
    equal = ops.expand_dims(labels, -1) == ops.expand_dims(labels, -2)
    earlier = ops.tril(ops.ones(equal.shape[-2:], dtype="bool"), k=-1)
    return ops.logical_and(labels >= 0, ops.logical_not(ops.any(equal & earlier, axis=-1)))
