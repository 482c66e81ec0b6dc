"""Where a step runs: one device, or mirrored over several on one machine."""

from __future__ import annotations

import tensorflow as tf

STRATEGIES = ("auto", "one_device", "mirrored")


def make_strategy(name: str = "auto", num_logical_cpus: int = 0) -> tf.distribute.Strategy:
    """Makes the process's strategy, and makes its operations deterministic.

    Call once, before any other TensorFlow work.

    Args:
      name: 'one_device', 'mirrored' (all GPUs, or all logical CPUs where there is no GPU), or
        'auto' (mirrored where there are several GPUs).
      num_logical_cpus: split the CPU into that many logical devices, to try 'mirrored'
        without a GPU; 0 leaves it whole.

    Raises:
      ValueError: on an unknown name, or logical CPUs wanted after TensorFlow has started.
    """
    if name not in STRATEGIES:
        raise ValueError(f"strategy is one of {STRATEGIES}, got {name!r}")
    if num_logical_cpus > 1:
        _split_cpu(num_logical_cpus)
    tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_logical_devices("GPU")
    if name == "one_device" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")
    devices = gpus or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _split_cpu(num_logical_cpus: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(num_logical_cpus)]
    try:
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError as error:
        raise ValueError("logical CPUs must be set before TensorFlow starts") from error
