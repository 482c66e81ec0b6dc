"""Running one of our programs on Cloud TPU machines, from the packed project to the exit code."""

from __future__ import annotations

import logging
import pathlib
import signal
import subprocess
import tempfile
from collections.abc import Sequence

from fine2coarse.cards import folder_of
from fine2coarse.cloud.tpu_driver import Driver
from fine2coarse.cloud.tpu_job import CloudJob, archive_command
from fine2coarse.errors import UsageError

_LOGGER = logging.getLogger(__name__)
_ARCHIVE = "fine2coarse.tar.gz"


def checkout() -> pathlib.Path:
    """The checkout that is copied to the machines: the one this package is run from.

    Raises:
      UsageError: where the package was installed without one.
    """
    root = folder_of("launch").parent
    if not (root / "pyproject.toml").is_file():
        raise UsageError(
            "cloud_tpu copies a checkout of fine2coarse to the machines, and this is an installed "
            f"package ({root}) without one: clone the project, then run `python "
            "launch/cloud_tpu.py …` there"
        )
    return root


def check_program(root: pathlib.Path, program: Sequence[str], num_nodes: int) -> str:
    """Makes sure that a program can be run on machines.

    Args:
      root: the checkout.
      program: path, such as launch/study.py, and arguments.
      num_nodes: machines.

    Returns:
      The program's --workdir.

    Raises:
      UsageError: where it is none of ours, has no --workdir or cannot share its runs.
    """
    if not program:
        raise UsageError(
            "name a program and its flags after --, e.g. -- launch/study.py --config=…"
        )
    if not (root / program[0]).is_file():
        raise UsageError(f"{program[0]!r} is none of our programs, such as launch/study.py")
    workdirs = [a.partition("=")[2] for a in program if a.startswith("--workdir=")]
    if not workdirs:
        raise UsageError("the program needs --workdir=…, best gs://BUCKET/FOLDER")
    if num_nodes > 1 and pathlib.Path(program[0]).name != "study.py":
        raise UsageError("--num_nodes above 1 is for launch/study.py, whose runs can be shared")
    return workdirs[-1]


def run_job(job: CloudJob, root: pathlib.Path) -> dict[str, int]:
    """Runs a job to its end; the machines are deleted whatever happens, also on SIGTERM.

    Args:
      job: what to run.
      root: the checkout; what is committed there is copied.

    Returns:
      The exit code of the program on each machine.

    Raises:
      CloudError: where a step failed, or a machine was lost too often.
      KeyboardInterrupt: on Ctrl-C and SIGTERM, after the machines were deleted.
    """

    def leave(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        with tempfile.TemporaryDirectory() as folder:
            archive = str(pathlib.Path(folder) / _ARCHIVE)
            if _has_changes(root):
                _LOGGER.info("note: what is not committed is not copied")
            subprocess.run(archive_command(archive), cwd=root, check=True)
            return Driver(job, archive).run()
    finally:
        signal.signal(signal.SIGTERM, before)


def _has_changes(root: pathlib.Path) -> bool:
    changed = subprocess.run(
        ["git", "status", "--porcelain"],
        cwd=root,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    return changed.returncode == 0 and bool(changed.stdout)
