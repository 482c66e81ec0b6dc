"""Several processes of the same command on one machine."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from absl import flags

from fine2coarse import keras_settings
from fine2coarse.cli import startup
from fine2coarse.errors import (
    EXIT_BUG,
    EXIT_FAILED,
    EXIT_TRY_AGAIN,
    EXIT_USAGE,
    FailedError,
    TryAgainError,
    UsageError,
)

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_DEVICES = pathlib.Path("/dev")
# TensorFlow's pools of threads, those of libraries, and JAX's.
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "PJRT_NPROC")
# JAX takes a fixed share of a GPU's memory when it starts; a tenth is left for what libraries need.
_JAX_SHARE, _ALL_OF_A_GPU = "XLA_PYTHON_CLIENT_MEM_FRACTION", 0.9


def command_without(*names: str) -> list[str]:
    """This process's own command without some of its flags, to be added to."""
    program = [sys.argv[0]]
    if startup.is_command:
        program = ["-m", "fine2coarse", pathlib.Path(sys.argv[0]).stem]
    return [sys.executable, *program, *without_flags(sys.argv[1:], names)]


def without_flags(arguments: Sequence[str], names: Sequence[str]) -> list[str]:
    """Arguments without `--name`, `--noname`, `--name=value` and `--name value`."""
    kept, skip = [], False
    for argument in arguments:
        name, has_value, _ = argument.lstrip("-").partition("=")
        name = name if name in names else name.removeprefix("no")
        if skip:
            skip = False
        elif argument.startswith("-") and name in names:
            skip = not has_value and not flags.FLAGS[name].boolean
        else:
            kept.append(argument)
    return kept


def run_jobs(command: Sequence[str], num_jobs: int, gpus: Sequence[str] = ()) -> list[int]:
    """Runs a command several times at once, its lines marked with the job's number.

    SIGTERM and Ctrl-C are passed on. The cores are shared equally, and so are the GPUs.

    Args:
      command: as a list, never through a shell.
      num_jobs: how many.
      gpus: what CUDA_VISIBLE_DEVICES may name; empty where there are none.

    Returns:
      The exit codes.
    """
    processes = [
        subprocess.Popen(
            command,
            env={
                **os.environ,
                **share_of_machine(index, num_jobs, gpus),
                "PYTHONIOENCODING": "utf-8",  # as its lines are read
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # a terminal's Ctrl-C reaches them through us alone
        )
        for index in range(num_jobs)
    ]

    def stop(number: int, frame: object) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    printers = [
        threading.Thread(target=_print_lines, args=(process, f"[job {index}] "))
        for index, process in enumerate(processes)
    ]
    try:
        for printer in printers:
            printer.start()
        codes = [process.wait() for process in processes]
        for printer in printers:
            printer.join()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return codes


def check_codes(codes: Sequence[int]) -> None:
    """Ends as jobs ended that failed: as all of them did, with 3 where they differ, 1 of a bug.

    Args:
      codes: the exit code of each job.

    Raises:
      UsageError: where all that failed ended with 2.
      TryAgainError: where all that failed ended with 75.
      FailedError: otherwise.
      SystemExit: with code 1 where one had a bug; its traceback stands among its lines.
    """
    failed = {index: code for index, code in enumerate(codes) if code}
    if not failed:
        return
    told = ", ".join(f"job {index} (exit code {code})" for index, code in failed.items())
    told = f"{told} of {len(codes)} jobs did not end well; see above"
    kinds = {EXIT_USAGE: UsageError, EXIT_FAILED: FailedError, EXIT_TRY_AGAIN: TryAgainError}
    ends = set(failed.values())
    if not ends <= set(kinds):
        print(f"error: {told}", file=sys.stderr)
        sys.exit(EXIT_BUG)
    raise (kinds[ends.pop()] if len(ends) == 1 else FailedError)(told)


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may name on this machine; no GPU is taken hold of."""
    visible = os.environ.get(_VISIBLE)
    if visible:
        return [name for name in visible.split(",") if name]
    if keras_settings.backend() == keras_settings.JAX:
        # JAX would take their memory to count them.
        count = 0 if visible == "" else len([*_DEVICES.glob("nvidia[0-9]*")])
    else:
        import tensorflow as tf

        count = len(tf.config.list_physical_devices("GPU"))
    return [*map(str, range(count))]


def share_of_machine(index: int, num_jobs: int, gpus: Sequence[str]) -> dict[str, str]:
    """Environment variables that give a job its share of cores and GPUs."""
    num_threads = max(1, len(os.sched_getaffinity(0)) // num_jobs)
    share = {name: str(num_threads) for name in _THREADS if name not in os.environ}
    if gpus:
        mine = gpus[index::num_jobs] or [gpus[index % len(gpus)]]
        share[_VISIBLE] = ",".join(mine)
        if num_jobs > len(gpus):
            share["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
            if _JAX_SHARE not in os.environ:
                share[_JAX_SHARE] = f"{_ALL_OF_A_GPU / -(-num_jobs // len(gpus)):.3f}"
    return share


def _print_lines(process: subprocess.Popen, prefix: str) -> None:
    for line in process.stdout:
        print(prefix + line.rstrip("\n"), flush=True)
