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
_PACKAGES = ("tensorflow", "tensorflow-tpu", "keras", "keras-hub")


def describe() -> dict[str, Any]:
    """What a run's `recipe.json` notes of the process, as plain values.

    Returns:
      `keras` (the pinned settings), `versions` (of the packages that compute), `cpu_threads` (over
      which TensorFlow spreads an operation, and so splits its sums), `variables` (those of
      `VARIABLES` that are set).
    """
    return {
        "keras": dict(keras_settings.pinned()),
        "versions": dict(_versions()),
        "cpu_threads": cpu_threads(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def cpu_threads() -> int:
    """As TensorFlow counts: TF_NUM_INTRAOP_THREADS, or the cores that this process may use."""
    wanted = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between two environments, e.g. 'cpu_threads 8, before 2'."""
    flat_before, flat_after = _flat(before), _flat(after)
    names = [*flat_after, *(name for name in flat_before if name not in flat_after)]
    return [
        f"{name} {flat_after.get(name, 'not set')}, before {flat_before.get(name, 'not set')}"
        for name in names
        if flat_before.get(name) != flat_after.get(name)
    ]


def _flat(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Entry → value, without the groups they stand in."""
    found = {}
    for name, value in environment.items():
        found |= value if isinstance(value, Mapping) else {name: value}
    return found


@functools.cache
def _versions() -> Mapping[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
