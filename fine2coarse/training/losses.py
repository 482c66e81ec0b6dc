"""Losses over padded integer labels. Keras operations only."""

from __future__ import annotations

import keras
from keras import ops

from fine2coarse import keras_settings

keras_settings.pin()


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
    chosen, num_labels = _sum_over_labels(logits, labels)
    mean_chosen = chosen / ops.maximum(num_labels, 1.0)
    target = (1.0 - label_smoothing) * mean_chosen + label_smoothing * ops.mean(logits, axis=-1)
    return ops.where(num_labels > 0, log_sum - target, 0.0)


def sigmoid_cross_entropy(
    logits: keras.KerasTensor, labels: keras.KerasTensor, label_smoothing: float = 0.0
) -> keras.KerasTensor:
    """Binary cross-entropy summed over the classes: the usual loss on ImageNet-21k.

    With targets t it is Σ softplus(z) - Σ t·z, so the dense targets are never made. Beyer et al.,
    arXiv 2006.07159, section 5; the head's bias starts at -10 there.

    Args:
      logits: float [B, C].
      labels: int [B, M], padded with -1. A class given twice counts once.
      label_smoothing: targets are this / 2 away from 0 and from 1.

    Returns:
      float32 [B]; 0 for a row without labels.
    """
    logits = ops.cast(logits, "float32")
    chosen, num_labels = _sum_over_labels(logits, labels)
    target = (1.0 - label_smoothing) * chosen
    if label_smoothing:
        target = target + 0.5 * label_smoothing * ops.sum(logits, axis=-1)
    return ops.where(num_labels > 0, ops.sum(ops.softplus(logits), axis=-1) - target, 0.0)


LOSSES = {"softmax": softmax_cross_entropy, "sigmoid": sigmoid_cross_entropy}
# Bias that a new head starts with: with sigmoid losses almost all targets are 0.
HEAD_BIAS = {"softmax": 0.0, "sigmoid": -10.0}


def mixed_loss(
    name: str,
    logits: keras.KerasTensor,
    labels: keras.KerasTensor,
    label_smoothing: float,
    own_share: keras.KerasTensor | None,
) -> keras.KerasTensor:
    """The loss of each image; of mixed images, the weighted mean of both images' losses.

    Args:
      name: 'softmax' or 'sigmoid'.
      logits: float [B, C].
      labels: int [B, M], padded with -1.
      label_smoothing: see the losses.
      own_share: float [B], the share of its own labels in each image, the rest being its
        partner's in the pairs (0, 1), (2, 3), ...; None where nothing was mixed.

    Returns:
      float32 [B].
    """
    loss = LOSSES[name]
    own = loss(logits, labels, label_smoothing)
    if own_share is None:
        return own
    partner = loss(logits, swap_pairs(labels), label_smoothing)
    return own_share * own + (1.0 - own_share) * partner


def mix_pairs(images: keras.KerasTensor, own_share: keras.KerasTensor) -> keras.KerasTensor:
    """Mixup (Zhang et al., arXiv 1710.09412) within the pairs (0, 1), (2, 3), ...

    The partner is fixed by the position in the stream of (shuffled) images, so the result does
    not depend on how a batch is split over replicas, as long as each gets an even number.

    Args:
      images: float [B, ...], B even.
      own_share: float [B], the weight of an image itself.

    Returns:
      float [B, ...].
    """
    ones = (1,) * (len(images.shape) - 1)
    share = ops.cast(ops.reshape(own_share, (-1, *ones)), images.dtype)
    return share * images + (1.0 - share) * swap_pairs(images)


def swap_pairs(values: keras.KerasTensor) -> keras.KerasTensor:
    """Exchanges rows 0 and 1, 2 and 3, ... of [B, ...]; B must be even."""
    rest = tuple(values.shape[1:])
    pairs = ops.reshape(values, (-1, 2, *rest))
    return ops.reshape(ops.flip(pairs, axis=1), (-1, *rest))


def _sum_over_labels(
    logits: keras.KerasTensor, labels: keras.KerasTensor
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Sum of the logits of each row's distinct labels, and how many these are: float [B] each."""
    weights = ops.cast(_is_first_occurrence(labels), "float32")
    chosen = ops.take_along_axis(logits, ops.maximum(labels, 0), axis=-1)
    return ops.sum(chosen * weights, axis=-1), ops.sum(weights, axis=-1)


def _is_first_occurrence(labels: keras.KerasTensor) -> keras.KerasTensor:
    """Which entries of [B, M] are labels not yet seen in their row (padding is not)."""
    if labels.shape[-1] == 1:
        return labels >= 0
    equal = ops.expand_dims(labels, -1) == ops.expand_dims(labels, -2)
    earlier = ops.tril(ops.ones(equal.shape[-2:], dtype="bool"), k=-1)
    return ops.logical_and(labels >= 0, ops.logical_not(ops.any(equal & earlier, axis=-1)))
