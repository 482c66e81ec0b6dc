"""Decoding images and computing on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fine2coarse.input.augmentation import eval_image
from fine2coarse.prediction.image_models import Apply, Undecodable


def square_decoder(size_px: int) -> Callable[[bytes], np.ndarray]:
    """A function of an encoded image to its central square: float32 [S, S, 3] in [0, 1].

    Threads may call it; it raises Undecodable.
    """

    def central_square(data: tf.Tensor) -> tf.Tensor:
        with tf.device("CPU"):  # where input pipelines decode
            return eval_image(data, size_px)

    decode = _traced(central_square, tf.TensorSpec([], tf.string))

    def square(data: bytes) -> np.ndarray:
        try:
            return decode(tf.constant(data)).numpy()
        except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
            raise Undecodable(str(error.message)) from error

    return square


def compiled(model: keras.Model, function: Callable[[Any], list[Any]], size_px: int) -> Apply:
    """A function of images float32 [B, S, S, 3] to some tensors, compiled for any B.

    Args:
      model: whose variables the function reads.
      function: traced.
      size_px: S.
    """
    apply = _traced(function, tf.TensorSpec([None, size_px, size_px, 3], tf.float32))
    return lambda images: [found.numpy() for found in apply(tf.constant(images))]


def _traced(function: Callable[..., Any], spec: tf.TensorSpec) -> Callable[..., Any]:
    """A concrete function: TensorFlow warns of the others where a process loads many models."""
    return tf.function(function, autograph=False).get_concrete_function(spec)
