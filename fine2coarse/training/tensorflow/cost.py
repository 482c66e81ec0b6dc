"""Counting on TensorFlow: operations of a traced model, memory and names of devices."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import tensorflow as tf


def forward_flops(model: keras.Model, image_shape: tuple[int, ...]) -> int | None:
    """Operations of a forward pass on one image; None where the graph does not tell a size."""
    traced = tf.function(lambda images: model(images, training=False)).get_concrete_function(
        tf.TensorSpec((1, *image_shape), tf.float32)
    )
    graphs = [traced.graph, *_inner_graphs(traced.graph)]
    operations = [operation for graph in graphs for operation in graph.get_operations()]
    counts = [_COUNTERS[op.type](op) for op in operations if op.type in _COUNTERS]
    return None if None in counts else sum(counts)


def accelerator_peak() -> Callable[[], int] | None:
    """Sets the GPUs' counts back; returns what tells their largest peak, None without GPUs."""
    devices = [device.name for device in tf.config.list_logical_devices("GPU")]
    for device in devices:
        tf.config.experimental.reset_memory_stats(device)
    if not devices:
        return None
    return lambda: max(tf.config.experimental.get_memory_info(d)["peak"] for d in devices)


def accelerator_name() -> str | None:
    """Of the first TPU or GPU; None where there is none."""
    for kind in ("TPU", "GPU"):
        devices = tf.config.list_physical_devices(kind)
        if devices:
            return tf.config.experimental.get_device_details(devices[0]).get("device_name", kind)
    return None


def _inner_graphs(graph: tf.Graph) -> list[tf.Graph]:
    """Graphs of the functions that a graph calls, once for each call."""
    inner = []
    for operation in graph.get_operations():
        if operation.type in ("PartitionedCall", "StatefulPartitionedCall"):
            name = operation.get_attr("f").name
            called = graph._functions[name].graph  # no public way to a called function's graph
            inner += [called, *_inner_graphs(called)]
    return inner


def _convolution(operation: tf.Operation) -> int | None:
    """2 × the kernel's positions and input channels, for each output value."""
    kernel, output = operation.inputs[1].shape, operation.outputs[0].shape
    if not (kernel.is_fully_defined() and output.is_fully_defined()):
        return None
    return 2 * math.prod(kernel[:-1]) * math.prod(output)


def _depthwise_convolution(operation: tf.Operation) -> int | None:
    kernel, output = operation.inputs[1].shape, operation.outputs[0].shape
    if not (kernel.is_fully_defined() and output.is_fully_defined()):
        return None
    return 2 * math.prod(kernel[:2]) * math.prod(output)


def _product(operation: tf.Operation) -> int | None:
    """2 × the length of the summed axis, for each output value."""
    left, output = operation.inputs[0].shape, operation.outputs[0].shape
    transposed = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
    if not (left.is_fully_defined() and output.is_fully_defined()):
        return None
    return 2 * left[-2 if transposed else -1] * math.prod(output)


def _einsum(operation: tf.Operation) -> int | None:
    """2 × the product of all axes named in the equation."""
    sides = operation.get_attr("equation").decode().split("->")[0].split(",")
    shapes = [tensor.shape for tensor in operation.inputs]
    if len(sides) != 2 or "." in "".join(sides):
        return None
    if not all(shape.is_fully_defined() for shape in shapes):
        return None
    sizes = {axis: size for side, shape in zip(sides, shapes) for axis, size in zip(side, shape)}
    return 2 * math.prod(sizes.values())


_COUNTERS: dict[str, Callable[[tf.Operation], int | None]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise_convolution,
    "MatMul": _product,
    "BatchMatMulV2": _product,
    "Einsum": _einsum,
}
