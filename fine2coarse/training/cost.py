"""What training costs besides seconds: floating-point operations and memory."""

from __future__ import annotations

import contextlib
import pathlib
import re
from collections.abc import Sequence

import keras

from fine2coarse.training.engine import is_on_jax

# A step's backward pass costs about twice its forward pass: one product for the gradient of the
# weights and one for that of the inputs (Kaplan et al., arXiv 2001.08361, section 2.1).
TRAIN_OVER_FORWARD = 3

if is_on_jax():
    from fine2coarse.training.jax.cost import accelerator_name, accelerator_peak, forward_flops
else:
    from fine2coarse.training.tensorflow.cost import (
        accelerator_name,
        accelerator_peak,
        forward_flops,
    )


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
    found = forward_flops(model, tuple(image_shape))
    return None if found is None else TRAIN_OVER_FORWARD * found


class PeakMemory:
    """Most memory in use since this was made.

    On GPUs and TPUs the largest of the devices' own counts; JAX counts since the process began. On
    the CPU the process's resident memory, from Linux's count of its peak; where that cannot be set
    back, the peak since the process began. What earlier runs of the same process allocated and the
    allocator kept counts too.
    """

    def __init__(self) -> None:
        self._accelerator_peak = accelerator_peak()
        if self._accelerator_peak is None:
            with contextlib.suppress(OSError):
                pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def num_bytes(self) -> int | None:
        """The peak in bytes; None where neither device nor system tells."""
        if self._accelerator_peak is not None:
            return self._accelerator_peak()
        try:
            status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
        except OSError:
            return None
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        return int(found.group(1)) * 1024 if found else None


def device_name() -> str:
    """What computes: the accelerator's name, or the CPU's model."""
    name = accelerator_name()
    if name:
        return name
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "CPU"
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else "CPU"
