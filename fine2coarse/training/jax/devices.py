"""Which devices steps run on: one, all of this machine, those of several processes, or TPUs."""

from __future__ import annotations

import jax

from fine2coarse.errors import UsageError
from fine2coarse.training.cluster_task import is_multi_worker, read_task
from fine2coarse.training.jax.engine import JaxEngine

# Seconds that processes wait for each other when they start.
_START_TIMEOUT_S = 300


def make_jax_engine(name: str, num_logical_cpus: int = 0, tpu: str = "") -> JaxEngine:
    """The engine over the devices that a strategy means; see `training.engine.make_engine`.

    'one_device' is the first device, 'mirrored' all of this machine, 'multi_worker' all of the
    processes in TF_CONFIG, by `jax.distributed`; 'tpu' all TPU cores of this host.

    Raises:
      UsageError: where logical CPUs are wanted after JAX has started, on a TF_CONFIG or TPU that is
        missing or wrong, or where JAX finds no device.
    """
    if num_logical_cpus > 1:
        _split_cpu(num_logical_cpus)
    if name == "tpu" or (name == "auto" and tpu):
        return JaxEngine(_tpus(tpu))
    if is_multi_worker(name):
        _join()
        return JaxEngine(jax.devices())
    local = _local_devices()
    if name == "mirrored" or (name == "auto" and local[0].platform != "cpu"):
        return JaxEngine(local)
    return JaxEngine(local[:1])


def _local_devices() -> list[jax.Device]:
    try:
        return jax.local_devices()
    except (RuntimeError, AssertionError) as error:  # the latter, without words, where none is left
        wanted, why = jax.config.jax_platforms, " ".join(str(error).split())
        raise UsageError(
            f"JAX finds no device with JAX_PLATFORMS={wanted or ''}{why and f' ({why})'}: unset "
            "JAX_PLATFORMS or set it to cpu; GPUs need the extra jax-gpu, TPUs jax-tpu"
        ) from error


def _split_cpu(num_logical_cpus: int) -> None:
    try:
        jax.config.update("jax_num_cpu_devices", num_logical_cpus)
    except RuntimeError as error:
        raise UsageError("logical CPUs must be set before JAX starts") from error


def _tpus(name: str) -> list[jax.Device]:
    if name != "local":
        raise UsageError(
            f"on JAX a TPU is one of this machine: expected --tpu=local, got --tpu={name}; run the "
            "command on the TPU's own host, or use --backend=tensorflow"
        )
    try:
        devices = jax.local_devices(backend="tpu")
    except RuntimeError as error:
        raise UsageError(
            f"no TPU is on this machine ({error}); install the extra jax-tpu on a TPU host"
        ) from error
    return devices


def _join() -> None:
    """Joins the other processes, which meet at the address of the first."""
    task = read_task()
    try:
        jax.distributed.initialize(
            task.addresses[0],
            num_processes=len(task.addresses),
            process_id=task.rank,
            initialization_timeout=_START_TIMEOUT_S,
        )
    except RuntimeError as error:
        raise UsageError(
            f"process {task.rank} of {len(task.addresses)} did not find the others at "
            f"{task.addresses[0]}: {error}"
        ) from error
