"""Flags that say what to compute on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from fine2coarse.errors import UsageError

if TYPE_CHECKING:
    from fine2coarse.training.engine import Engine

STRATEGY = flags.DEFINE_enum(
    "strategy",
    "auto",
    ["auto", "one_device", "mirrored", "multi_worker", "tpu"],
    "How training spreads over devices; multi_worker reads TF_CONFIG.",
)
TPU = flags.DEFINE_string(
    "tpu", "", "Name of the TPU, or `local` for one on this machine; on JAX `local` alone."
)
NUM_LOGICAL_CPUS = flags.DEFINE_integer(
    "num_logical_cpus", 0, "Split the CPU into as many devices, to try --strategy=mirrored."
)


def engine_of_flags() -> Engine:
    """The process's engine, as the flags say; made once a process."""
    from fine2coarse.training.engine import make_engine

    return make_engine(STRATEGY.value, NUM_LOGICAL_CPUS.value, TPU.value)


def refuse_workers(instead: str) -> None:
    """Refuses to be one of several workers, for programs that train no run.

    Args:
      instead: what to do, for the error.

    Raises:
      UsageError: where TF_CONFIG or --strategy says that this is a worker.
    """
    from fine2coarse.training.cluster_task import is_multi_worker

    if is_multi_worker(STRATEGY.value):
        raise UsageError(f"TF_CONFIG or --strategy makes this process one of several: {instead}")
