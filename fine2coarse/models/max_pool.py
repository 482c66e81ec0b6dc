"""Max pooling as the ResNets use it."""

from __future__ import annotations

import keras
from keras import layers, ops


def max_pool(name: str | None = None) -> layers.MaxPooling2D:
    """A layer of maxima over 3×3 pixels, in steps of two.

    On TensorFlow it is Keras's. On JAX its gradient would be XLA's select-and-scatter, which has no
    deterministic form on GPUs, so that no step is compiled there with the flag which
    `backend_start` sets (openxla.org/xla/determinism; github.com/google/flax/issues/4233).

    Args:
      name: of the layer; None for Keras's own.
    """
    on_jax = keras.config.backend() == "jax"
    return (SlicedMaxPooling2D if on_jax else layers.MaxPooling2D)(3, strides=2, name=name)


@keras.saving.register_keras_serializable("fine2coarse")
class SlicedMaxPooling2D(layers.MaxPooling2D):
    """Maxima over 3×3 pixels in steps of two, by comparing slices.

    Values and gradients are those of the layer that it takes the place of: of equal pixels the
    first, by rows, gets the gradient, and what is not a number stays.
    """

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Float [B, h, w, C] to [B, (h - 1) // 2, (w - 1) // 2, C]."""
        x = inputs
        x = _larger(_larger(x[:, :, 0:-2:2], x[:, :, 1:-1:2]), x[:, :, 2::2])
        return _larger(_larger(x[:, 0:-2:2], x[:, 1:-1:2]), x[:, 2::2])


def _larger(first: keras.KerasTensor, second: keras.KerasTensor) -> keras.KerasTensor:
    return ops.where((first >= second) | ops.isnan(first), first, second)
