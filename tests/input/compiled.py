"""Functions of tensors compiled by Keras's backend, as engines compile a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of arrays, compiled; what it returns is in NumPy."""
    if keras.config.backend() == "jax":
        import jax

        made = jax.jit(function)
    else:
        import tensorflow as tf

        made = tf.function(function, autograph=False)

    def of_arrays(*arrays: Any) -> Any:
        found = made(*keras.tree.map_structure(ops.convert_to_tensor, arrays))
        return keras.tree.map_structure(ops.convert_to_numpy, found)

    return of_arrays
