"""What a process brings into a run's numbers, besides its recipe."""

from __future__ import annotations

import functools
import importlib.metadata
import os
from collections.abc import Mapping
from typing import Any

from fine2coarse import keras_settings

# Set by a user, each of these changes how sums are rounded, or in which precision products are
# computed. Variables of threads are not among them: see `cpu_threads`.
VARIABLES = (
    "TF_ENABLE_ONEDNN_OPTS",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "TF_SET_ONEDNN_FPMATH_MODE",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
    "LIBTPU_INIT_ARGS",
    "NVIDIA_TF32_OVERRIDE",
)
_PACKAGES = {
    keras_settings.TENSORFLOW: ("tensorflow", "tensorflow-tpu", "keras", "keras-hub"),
    # TensorFlow's pipelines feed JAX where it is installed.
    keras_settings.JAX: ("jax", "jaxlib", "libtpu", "keras", "tensorflow"),
}
# What a thread pool's size is read from: of TensorFlow, and of JAX in this order.
_THREADS = {
    keras_settings.TENSORFLOW: ("TF_NUM_INTRAOP_THREADS",),
    keras_settings.JAX: ("PJRT_NPROC", "NPROC"),
}
_BACKEND, _AUGMENTATION = "backend", "augmentation"
_NOT_SET = {_AUGMENTATION: "by tf.data"}  # what it means where an entry is missing


def describe(augments_in_step: bool = False) -> dict[str, Any]:
    """What a run's `recipe.json` notes of the process, as plain values.

    Args:
      augments_in_step: whether random changes are drawn in the step, not by tf.data.

    Returns:
      `keras` (the pinned settings), `versions` (of the packages that compute), `cpu_threads` (over
      which the backend spreads an operation, and so splits its sums), `variables` (those of
      `VARIABLES` that are set); `augmentation`, where it is not tf.data's.
    """
    here = {
        "keras": dict(keras_settings.pinned()),
        "versions": dict(_versions(keras_settings.backend())),
        "cpu_threads": cpu_threads(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }
    return here | ({_AUGMENTATION: "in the step"} if augments_in_step else {})


def cpu_threads() -> int:
    """As the backend counts: by its variable, or the cores that this process may use.

    The variable is TF_NUM_INTRAOP_THREADS, on JAX PJRT_NPROC or NPROC.
    """
    for name in _THREADS[keras_settings.backend()]:
        wanted = os.environ.get(name, "")
        if wanted.isdecimal() and int(wanted):
            return int(wanted)
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between two environments, e.g. 'cpu_threads 8, before 2'.

    Of two backends, what only one of them has (its version, say) is left out.
    """
    flat_before, flat_after = _flat(before), _flat(after)
    names = [*flat_after, *(name for name in flat_before if name not in flat_after)]
    if _is_other_backend(flat_before, flat_after):
        shared = {name for name in names if name in flat_before and name in flat_after}
        names = [name for name in names if name in {*shared, _AUGMENTATION}]
    return [
        f"{name} {_entry(flat_after, name)}, before {_entry(flat_before, name)}"
        for name in names
        if flat_before.get(name) != flat_after.get(name)
    ]


def consequence(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What it means for a run's numbers that it goes on in another environment, for people."""
    told = (
        "from here on its numbers may differ in their last digits from those of a run made in one "
        "go"
    )
    flat_before, flat_after = _flat(before), _flat(after)
    anew = []
    if flat_before.get(_AUGMENTATION) != flat_after.get(_AUGMENTATION):
        anew.append("augmentation")
    if _is_other_backend(flat_before, flat_after):
        anew.append("dropout masks")
    return (
        f"{told}, and what it draws at random ({', '.join(anew)}) is drawn anew" if anew else told
    )


def _entry(flat: Mapping[str, Any], name: str) -> Any:
    return flat.get(name, _NOT_SET.get(name, "not set"))


def _is_other_backend(flat_before: Mapping[str, Any], flat_after: Mapping[str, Any]) -> bool:
    return flat_before.get(_BACKEND) != flat_after.get(_BACKEND)


def _flat(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Entry → value, without the groups they stand in."""
    found = {}
    for name, value in environment.items():
        found |= value if isinstance(value, Mapping) else {name: value}
    return found


@functools.cache
def _versions(backend: str) -> Mapping[str, str]:
    found = {}
    for package in _PACKAGES[backend]:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
