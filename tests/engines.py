"""The engine that tests in this process use."""

from __future__ import annotations

import functools

from fine2coarse import keras_settings
from fine2coarse.training.engine import Engine, make_engine


@functools.cache
def one_device() -> Engine:
    """One device, on the backend that these tests run on."""
    if keras_settings.backend() == keras_settings.JAX:
        return make_engine("one_device")
    import tensorflow as tf

    from fine2coarse.training.tensorflow.engine import TensorFlowEngine

    # Not of `make_engine`, which makes all operations of the process deterministic.
    return TensorFlowEngine(tf.distribute.OneDeviceStrategy("CPU:0"))
