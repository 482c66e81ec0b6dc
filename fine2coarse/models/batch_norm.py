"""Batch normalisation as the ResNets use it."""

from __future__ import annotations

import keras
from keras import layers


def batch_norm(name: str | None = None) -> layers.BatchNormalization:
    """A layer whose statistics are those of the whole batch, however many devices share it.

    On TensorFlow it is synchronised across replicas. On JAX a step is compiled over the whole
    batch, so that its mean and variance are global anyway; Keras refuses `synchronized` there.

    Momentum 0.9 and epsilon 1e-5 are those of He et al.'s code (github.com/KaimingHe/
    deep-residual-networks) and of PyTorch's ResNets.

    Args:
      name: of the layer; None for Keras's own.
    """
    return layers.BatchNormalization(
        momentum=0.9,
        epsilon=1e-5,
        synchronized=keras.config.backend() == "tensorflow",
        name=name,
    )
