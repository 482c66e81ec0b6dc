"""Several processes of the same command on one machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from absl import flags


def command_without(*names: str) -> list[str]:
    """This process's own command without some of its flags, to be added to."""
    return [sys.executable, sys.argv[0], *without_flags(sys.argv[1:], names)]


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


def share_of_machine(index: int, num_jobs: int, gpus: Sequence[str]) -> dict[str, str]:
    """Environment variables that give a job its share of cores and GPUs."""
    num_threads = max(1, len(os.sched_getaffinity(0)) // num_jobs)
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    share = {name: str(num_threads) for name in names if name not in os.environ}
    if gpus:
        mine = gpus[index::num_jobs] or [gpus[index % len(gpus)]]
        share["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
        if num_jobs > len(gpus):
            share["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    return share


def _print_lines(process: subprocess.Popen, prefix: str) -> None:
    for line in process.stdout:
        print(prefix + line.rstrip("\n"), flush=True)
