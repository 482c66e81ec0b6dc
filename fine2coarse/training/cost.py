"""What training costs besides seconds: floating-point operations and memory."""

from __future__ import annotations

import contextlib
import math
import pathlib
import re
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

# A step's backward pass costs about twice its forward pass: one product for the gradient of the
# weights and one for that of the inputs (Kaplan et al., arXiv 2001.08361, section 2.1).
TRAIN_OVER_FORWARD = 3


def train_flops_per_image(model: keras.Model, image_shape: Sequence[int]) -> int | None:
    """Floating-point operations of training on one image: 3 × those of a forward pass.

    Counted are multiplications and additions (two for each pair) of two-dimensional convolutions
    and matrix products, as in the literature; not normalisation, activations, input or the
    optimizer. The model must be free of loops: what one repeats is not counted.

    Args:
      model: what is trained.
      image_shape: of one input, e.g. (224, 224, 3).

    Returns:
      The number; None where the model holds an operation whose size the graph does not tell.
    """
    traced = tf.function(lambda images: model(images, training=False)).get_concrete_function(
        tf.TensorSpec((1, *image_shape), tf.float32)
    )
    graphs = [traced.graph, *_inner_graphs(traced.graph)]
    operations = [operation for graph in graphs for operation in graph.get_operations()]
    counts = [_COUNTERS[op.type](op) for op in operations if op.type in _COUNTERS]
    if None in counts:
        return None
    return TRAIN_OVER_FORWARD * sum(counts)


class PeakMemory:
    """Most memory in use since this was made.

    On GPUs the largest of the devices' own counts. On the CPU the process's resident memory, from
    Linux's count of its peak; where that cannot be set back, the peak since the process began. What
    earlier runs of the same process allocated and the allocator kept counts too.
    """

    def __init__(self) -> None:
        self._devices = [device.name for device in tf.config.list_logical_devices("GPU")]
        for device in self._devices:
            tf.config.experimental.reset_memory_stats(device)
        if not self._devices:
            with contextlib.suppress(OSError):
                pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def num_bytes(self) -> int | None:
        """The peak in bytes; None where neither device nor system tells."""
        if self._devices:
            return max(tf.config.experimental.get_memory_info(d)["peak"] for d in self._devices)
        try:
            status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
        except OSError:
            return None
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        return int(found.group(1)) * 1024 if found else None


def device_name() -> str:
    """What computes: the accelerator's name, or the CPU's model."""
    for kind in ("TPU", "GPU"):
        devices = tf.config.list_physical_devices(kind)
        if devices:
            return tf.config.experimental.get_device_details(devices[0]).get("device_name", kind)
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "CPU"
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else "CPU"


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
