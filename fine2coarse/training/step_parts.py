"""The parts of a train step that both backends share; `keras.ops` alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from fine2coarse.recipes.phase_spec import PhaseSpec
from fine2coarse.training.losses import mix_pairs, mixed_loss


def share_of_loss(
    phase: PhaseSpec,
    predict: Callable[[keras.KerasTensor], keras.KerasTensor],
    batch: Mapping[str, Any],
) -> keras.KerasTensor:
    """A part's share of the whole batch's mean loss: a float32 scalar.

    Args:
      phase: loss, label smoothing, and the size of the whole batch.
      predict: images float [b, ...] to logits [b, C].
      batch: image, label, weight and, with mixup, own_share.
    """
    images, share = batch["image"], batch.get("own_share")
    if share is not None:
        images = mix_pairs(images, share)
    logits = predict(images)
    losses = mixed_loss(phase.loss, logits, batch["label"], phase.label_smoothing, share)
    return ops.sum(losses * batch["weight"]) / phase.batch_size


def clipped(
    gradients: Sequence[keras.KerasTensor], norm: keras.KerasTensor, limit: float
) -> list[keras.KerasTensor]:
    """Gradients scaled down to a norm of `limit` where theirs is larger; as they are where it is 0.

    Args:
      gradients: of each variable.
      norm: theirs together, a scalar.
      limit: the largest norm.
    """
    if not limit:
        return list(gradients)
    scale = limit / ops.maximum(norm, limit)
    return [gradient * scale for gradient in gradients]
