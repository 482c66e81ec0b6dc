"""What a forked process does first. It starts nothing on import: `processes` does."""

from __future__ import annotations

import os
import pathlib
import runpy
import sys

_ROOT = pathlib.Path(__file__).resolve().parents[1]


def become(
    arguments: list[str],
    environment: dict[str, str],
    out: str,
    errors: str,
    folder: pathlib.Path = _ROOT,
) -> None:
    """Runs a program in this process, as `python PROGRAM ARGUMENTS` in a folder would.

    Args:
      arguments: path of the program, and its arguments.
      environment: all variables that it sees.
      out: file that what it prints is appended to.
      errors: the same for its errors.
      folder: to run it in.
    """
    os.environ.clear()
    os.environ.update(environment)
    for path, descriptor in ((out, 1), (errors, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(folder)
    sys.argv = list(arguments)
    sys.path.insert(0, str(pathlib.Path(arguments[0]).resolve().parent))
    runpy.run_path(arguments[0], run_name="__main__")
