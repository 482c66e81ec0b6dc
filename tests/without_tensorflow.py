"""Python as it is where TensorFlow is not installed: what names it cannot be imported.

    python -m tests.without_tensorflow launch/study.py --config=demo …

In a process of its own, for what was imported stays. KERAS_BACKEND is taken out of its environment,
so that the backend is what a user without TensorFlow gets, and so is what silences libraries.
"""

from __future__ import annotations

import os
import pathlib
import runpy
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
# TensorFlow, and what cannot be without it.
MISSING = ("tensorflow", "tensorflow_hub", "tensorflow_text", "tf_keras", "keras_hub")


class WithoutSome:
    """A finder of modules that does not see some packages, as if they were not installed.

    Args:
      finder: one of `sys.meta_path`, which finds the others.
      names: of the packages.
    """

    def __init__(self, finder: Any, names: Sequence[str] = MISSING) -> None:
        self._finder, self._names = finder, frozenset(names)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if name.partition(".")[0] in self._names:
            return None
        return self._finder.find_spec(name, path, target)

    def find_distributions(self, context: DistributionFinder.Context) -> Iterable[Distribution]:
        """See `importlib.metadata.DistributionFinder`."""
        if (context.name or "").replace("-", "_") in self._names:
            return ()
        find = getattr(self._finder, "find_distributions", None)
        return find(context) if find else ()


def environment(**variables: str) -> Mapping[str, str]:
    """Variables of a process in which backend and messages are left to the package.

    Args:
      **variables: set besides.
    """
    ours = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, "PYTHONPATH": str(ROOT), **variables}


def command(program: str, *arguments: str) -> list[str]:
    """A program's command, to be run without TensorFlow.

    Args:
      program: a path below the checkout, or `-c`.
      *arguments: its flags, or the code after `-c`.
    """
    return [sys.executable, "-m", "tests.without_tensorflow", program, *arguments]


def run(program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Runs a program to its end; what it says is caught, standard error by itself."""
    return subprocess.run(
        command(program, *arguments),
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=600,
    )


def main(arguments: Sequence[str]) -> None:
    """Runs a program, or the code after `-c`, in this process."""
    sys.meta_path[:] = map(WithoutSome, sys.meta_path)
    program, *rest = arguments
    if program == "-c":
        code, *rest = rest
        sys.argv = ["-c", *rest]
        exec(compile(code, "<code>", "exec"), {"__name__": "__main__"})
        return
    sys.argv = [program, *rest]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
