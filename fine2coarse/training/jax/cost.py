"""Counting on JAX: operations of a traced model, memory and names of devices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import jax
import keras


def forward_flops(model: keras.Model, image_shape: tuple[int, ...]) -> int | None:
    """Operations of a forward pass on one image; None where the graph does not tell a size."""
    trainable = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]
    image = jax.ShapeDtypeStruct((1, *image_shape), "float32")

    def forward(image: jax.Array) -> jax.Array:
        return model.stateless_call(trainable, others, image, training=False)[0]

    traced = jax.make_jaxpr(forward)(image)
    return sum(
        _COUNTERS[equation.primitive.name](equation)
        for equation in _equations(traced.jaxpr)
        if equation.primitive.name in _COUNTERS
    )


def accelerator_peak() -> Callable[[], int] | None:
    """What tells the largest peak of the GPUs or TPUs; None without any."""
    devices = [device for device in jax.local_devices() if device.platform != "cpu"]
    if not devices or not devices[0].memory_stats():
        return None
    return lambda: max(device.memory_stats()["peak_bytes_in_use"] for device in devices)


def accelerator_name() -> str | None:
    """Of the first TPU or GPU; None where there is none."""
    device = jax.local_devices()[0]
    return None if device.platform == "cpu" else device.device_kind


def _equations(jaxpr: jax.extend.core.Jaxpr) -> Iterator[jax.extend.core.JaxprEqn]:
    """Those of a program and of the functions that it calls, once for each call."""
    for equation in jaxpr.eqns:
        yield equation
        for parameter in equation.params.values():
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from _equations(inner)


def _convolution(equation: jax.extend.core.JaxprEqn) -> int:
    """2 × the kernel's positions and input channels, for each output value."""
    kernel, output = equation.invars[1].aval.shape, equation.outvars[0].aval.shape
    num_outputs = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    return 2 * math.prod(kernel) // num_outputs * math.prod(output)


def _product(equation: jax.extend.core.JaxprEqn) -> int:
    """2 × the length of the summed axes, for each output value."""
    (axes, _), _ = equation.params["dimension_numbers"]
    left, output = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    return 2 * math.prod(left[axis] for axis in axes) * math.prod(output)


_COUNTERS = {"conv_general_dilated": _convolution, "dot_general": _product}
