"""What programs share that take a finished run, and write a file."""

from __future__ import annotations

import logging
import pathlib
from typing import TYPE_CHECKING

from fine2coarse.errors import UsageError
from fine2coarse.recipes.names import PRETRAIN
from fine2coarse.runs.run_folders import LAST

if TYPE_CHECKING:
    from fine2coarse.analysis.find_run import FoundRun

_log = logging.getLogger(__name__)

RUN_HELP = "a study (its winner is taken), a run, or one of its phases"


def find_announced(given: str, *, pretraining: bool = False) -> FoundRun:
    """What a flag names as a run; says in a line what was taken, where that is something else.

    Args:
      given: the flag's value.
      pretraining: of a run its pretraining, not the phase that counts.

    Raises:
      RunError: where it is none, or not finished.
      MergeError: where it is a study without a finished run.
    """
    from fine2coarse.analysis.find_run import find_run

    found = find_run(given, PRETRAIN if pretraining else LAST)
    if found.note:
        _log.info("%s", found.note)
    return found


def check_out(path: pathlib.Path) -> None:
    """Raises UsageError where --out cannot be the name of a file to write."""
    if path.is_dir():
        raise UsageError(f"--out={path} is a folder; expected the name of a file to write")
    if not path.parent.is_dir():
        raise UsageError(f"--out={path}: there is no folder {path.parent}; make it first")
