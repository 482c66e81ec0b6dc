"""The launchers as processes of their own, as a user starts them."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]


def launch(program: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess:
    """Runs a launcher to its end; what it says is caught.

    Args:
      program: name of a file in `launch/`, without its ending.
      *arguments: its flags.
      **options: more of `subprocess.run`.
    """
    return subprocess.run(
        _command(program, arguments),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        **options,
    )


def start(program: str, *arguments: str, out: pathlib.Path | None = None) -> subprocess.Popen:
    """Starts a launcher and returns at once; what it says goes into a file, or nowhere."""
    return subprocess.Popen(
        _command(program, arguments),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=out.open("w") if out else subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )


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


def _command(program: str, arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, f"launch/{program}.py", *arguments]
