"""The launchers as processes of their own, as a user starts them."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from typing import Any

from tests.processes import Process

ROOT = pathlib.Path(__file__).resolve().parents[2]


def launch(program: str, *arguments: str) -> subprocess.CompletedProcess:
    """Runs a launcher to its end; what it says is caught.

    Args:
      program: name of a file in `launch/`, without its ending.
      *arguments: its flags.
    """
    process = _start(program, arguments)
    out, errors = process.communicate(timeout=600)
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)


def start(program: str, *arguments: str, out: pathlib.Path | None = None) -> Process:
    """Starts a launcher and returns at once; what it says goes into a file, or nowhere."""
    return _start(program, arguments, out=out, merged=True)


def help_of(
    program: str, heavy: tuple[str, ...] = ("tensorflow", "keras", "matplotlib")
) -> tuple[str, list[str]]:
    """What `--help` shows, and which of the heavy modules it imported."""
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{program!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_path('launch/{program}.py', run_name='__main__')\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print('imported:', *[name for name in {heavy!r} if name in sys.modules])\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    text, _, imported = shown.stdout.rpartition("imported:")
    return text, imported.split()


def _start(program: str, arguments: tuple[str, ...], **options: Any) -> Process:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return Process(pathlib.Path("launch", f"{program}.py"), arguments, environment, **options)
