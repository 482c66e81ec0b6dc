"""Decoding images by Pillow and computing on JAX, without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
from PIL import Image

from fine2coarse.errors import UsageError
from fine2coarse.input.pillow_decoding import EncodedImage
from fine2coarse.prediction.image_models import Apply, Undecodable

_WHITE = 255.0


def square_decoder(size_px: int) -> Callable[[bytes], np.ndarray]:
    """A function of an encoded image to its central square: float32 [S, S, 3] in [0, 1].

    Within 1/255 of what TensorFlow makes of it. Threads may call it; it raises Undecodable.
    """

    def square(data: bytes) -> np.ndarray:
        try:
            image = EncodedImage(data).upright()
        except UsageError as error:
            raise Undecodable(str(error)) from error
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        cropped = image.crop((left, top, left + side, top + side))
        resized = cropped.resize((size_px, size_px), Image.Resampling.BILINEAR)
        return np.asarray(resized, np.float32) / _WHITE

    return square


def compiled(model: keras.Model, function: Callable[[Any], list[Any]], size_px: int) -> Apply:
    """A function of images float32 [B, S, S, 3] to some tensors.

    It is compiled for a few sizes of batches: each is filled up to the next power of two.

    Args:
      model: whose variables the function reads.
      function: traced.
      size_px: S.
    """
    variables = model.variables

    @jax.jit
    def apply(values: list[jax.Array], images: jax.Array) -> list[jax.Array]:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(images)

    def applied(images: np.ndarray) -> list[np.ndarray]:
        num_images = len(images)
        num_padded = 1 << (num_images - 1).bit_length()
        padded = np.zeros((num_padded, size_px, size_px, 3), np.float32)
        padded[:num_images] = images
        found = apply([variable.value for variable in variables], padded)
        return [np.asarray(part)[:num_images] for part in found]

    return applied
