"""What `--run=` names: a phase's folder, a run's, a study's, or an export."""

from __future__ import annotations

import dataclasses
import os
import pathlib

from fine2coarse.analysis.study_folder import read_study
from fine2coarse.analysis.winner import find_winner
from fine2coarse.paths import expand
from fine2coarse.recipes.names import PRETRAIN
from fine2coarse.runs.phase_folder import PhaseFolder, RunError
from fine2coarse.runs.run_folders import (
    LAST,
    Kind,
    check_finished,
    kind_of,
    phase_of_run,
    phases_of,
    what_was_expected,
)


@dataclasses.dataclass(frozen=True)
class FoundRun:
    """A model on disk.

    Attributes:
      path: folder of a finished phase, or of an export.
      is_export: whether it is an export.
      note: what was taken for what was given, in words; empty where they are the same.
    """

    path: pathlib.Path
    is_export: bool = False
    note: str = ""


def find_run(given: str | os.PathLike, wanted: str = LAST) -> FoundRun:
    """The phase that a folder stands for: its own, a run's, or that of a study's winner.

    Args:
      given: folder of a phase, a run, a study or an export.
      wanted: phase of a run: 'last', the one that counts, or 'pretrain'.

    Raises:
      RunError: where it is none of these, or not finished.
      MergeError: where it is a study without a finished run.
    """
    if "://" in os.fspath(given):
        raise RunError(
            f"{given}: models are loaded from this machine; copy that folder here first "
            "(of a study recipe.json and runs/), and name the copy"
        )
    path = pathlib.Path(expand(os.fspath(given)))
    kind = kind_of(path)
    if kind is Kind.EXPORT:
        return FoundRun(path, is_export=True)
    if kind is Kind.PHASE:
        check_finished(path)
        return FoundRun(path)
    if kind is Kind.RUN:
        return _of_run(path, wanted)
    if kind is Kind.STUDY:
        winner = find_winner(read_study(path))
        found = _of_run(winner.run, wanted)
        return dataclasses.replace(found, note=f"{winner.sentence} {found.note}")
    raise RunError(what_was_expected(path))


def _of_run(run: pathlib.Path, wanted: str) -> FoundRun:
    phase = phase_of_run(run, wanted)
    others = [one for one in phases_of(run) if one != phase and PhaseFolder(one).is_finished]
    told = f"Taken: {phase}, {_classes(phase)}"
    if not others:
        return FoundRun(phase, note=f"{told}.")
    what = "the pretraining" if others[0].name == PRETRAIN else "its transfer"
    return FoundRun(phase, note=f"{told}; {what}, {others[0]}, {_classes(others[0])}.")


def _classes(phase: pathlib.Path) -> str:
    """For example `which has the 4 classes of superclass`."""
    space = PhaseFolder(phase).recipe()["label_space"]
    return f"which has the {space['num_classes']:,} classes of {space['name']}"
