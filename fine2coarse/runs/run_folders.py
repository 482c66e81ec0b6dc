"""What a folder holds, told by its files: a phase, a run with its phases, a study, or an export.

Imports no TensorFlow, and starts nothing.
"""

from __future__ import annotations

import contextlib
import enum
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from fine2coarse.files import read_json
from fine2coarse.hub.resolve import SAVED_MODEL
from fine2coarse.nearest import nearest
from fine2coarse.recipes.names import BASELINE, PRETRAIN, TRANSFER
from fine2coarse.runs.phase_folder import RECIPE, RESULT, RUNS, STATUS, PhaseFolder, RunError

LAST = "last"
"""Which phase of a run is wanted: the one that counts, or `recipes.names.PRETRAIN`."""

_PHASES = (TRANSFER, BASELINE, PRETRAIN)  # the one that counts first
_SEARCH_DEPTH = 4
_MAX_FOLDERS = 2000


class Kind(enum.Enum):
    """What a folder is; the value is for people to read."""

    PHASE = "a phase"
    RUN = "a run"
    STUDY = "a study"
    EXPORT = "an export"
    OTHER = "none of these"


def kind_of(path: pathlib.Path) -> Kind:
    """What a folder is.

    Raises:
      RunError: where its recipe is damaged.
    """
    if (path / SAVED_MODEL).is_file():
        return Kind.EXPORT
    recipe = _read(path / RECIPE) if (path / RECIPE).is_file() else {}
    if "label_space" in recipe:
        return Kind.PHASE
    if "arms" in recipe:
        return Kind.STUDY
    if any((path / name / RECIPE).is_file() for name in _PHASES):
        return Kind.RUN
    return Kind.OTHER


def phases_of(run: pathlib.Path) -> list[pathlib.Path]:
    """Folders of a run's phases that were begun, the one that counts first."""
    return [run / name for name in _PHASES if (run / name / RECIPE).is_file()]


def phase_of_run(run: pathlib.Path, wanted: str = LAST) -> pathlib.Path:
    """The phase of a run's folder that is wanted.

    Args:
      run: its folder, as in `runs/fine-seed0` of a study.
      wanted: `LAST`, or 'pretrain' for what the transfers began with; the baseline has one phase.

    Raises:
      RunError: where that phase is not finished.
    """
    names = (PRETRAIN, BASELINE) if wanted == PRETRAIN else (TRANSFER, BASELINE)
    begun = next((run / name for name in names if (run / name / RECIPE).is_file()), None)
    if begun is not None:
        check_finished(begun)
        return begun
    finished = [phase for phase in phases_of(run) if PhaseFolder(phase).is_finished]
    instead = f", or take {finished[0]}" if finished else ""
    raise RunError(
        f"{run}: a run whose {names[0]} is not there yet; go on with the command that made it"
        f"{instead}"
    )


def start_folder(path: pathlib.Path) -> pathlib.Path:
    """The folder of what a backbone starts from: of a run's folder, its pretraining.

    Args:
      path: of a run, a phase or an export; anything else is left as it is, for those who use it.

    Raises:
      RunError: where the pretraining is not finished.
    """
    return phase_of_run(path, PRETRAIN) if kind_of(path) is Kind.RUN else path


def check_finished(phase: pathlib.Path) -> None:
    """Raises RunError, which says how far it is, where a phase is not finished."""
    if PhaseFolder(phase).is_finished:
        return
    far = ""
    if (phase / STATUS).is_file():
        status = _read(phase / STATUS)
        if status.get("total_steps"):
            far = f" (step {status.get('step', 0)} of {status['total_steps']})"
    others = [p for p in phases_of(phase.parent) if PhaseFolder(p).is_finished]
    instead = f", or take {others[0]}" if others else ""
    raise RunError(
        f"{phase}: no {RESULT}, so it is not finished{far}; go on with the command that made it"
        f"{instead}"
    )


def export_recipe(path: pathlib.Path) -> Mapping[str, Any]:
    """The recipe of an export; empty of a SavedModel that `fine2coarse export` did not make.

    Raises:
      RunError: where it is damaged.
    """
    recipe = _read(path / RECIPE) if (path / RECIPE).is_file() else {}
    return recipe if "export" in recipe else {}


def what_was_expected(path: pathlib.Path) -> str:
    """What an error says of a folder that is none of ours, with the nearest that is."""
    missing = f"no {RECIPE} of a run here" if path.is_dir() else f"no such folder, no {RECIPE}"
    found = suggestion(path)
    hint = f"; did you mean {found}?" if found else ""
    return (
        f"{path}: {missing}; expected the folder of a study ({RUNS}/ in it), of a run (with "
        f"{PRETRAIN}/ and {TRANSFER}/, or {BASELINE}/), of one of its phases ({RECIPE} and "
        f"{RESULT}), or, where a program takes it, of an export ({SAVED_MODEL}){hint}"
    )


def suggestion(path: pathlib.Path) -> str:
    """What was probably meant by a path: what lies around it, below it, or is called like it.

    Returns:
      A study, a run, a finished phase or an export; empty where there is none near.
    """
    if path.is_dir():
        if path.name == RUNS and kind_of(path.parent) is Kind.STUDY:
            return str(path.parent)
        return str(next(_usable_below(path), ""))
    parent = path.parent
    siblings = [one.name for one in parent.iterdir() if one.is_dir()] if parent.is_dir() else []
    usable = [name for name in siblings if _kind_near(parent / name) is not Kind.OTHER]
    close = nearest(path.name, usable)
    return str(parent / close) if close else ""


def _usable_below(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Studies, runs and finished phases below a folder, the upper ones first."""
    level, num_seen = [path], 0
    for _ in range(_SEARCH_DEPTH):
        below = []
        for folder in level:
            names = []
            with contextlib.suppress(OSError), os.scandir(folder) as items:
                names = sorted(item.name for item in items if item.is_dir(follow_symlinks=False))
            below += [folder / name for name in names if not name.startswith(".")]
        for folder in below[: _MAX_FOLDERS - num_seen]:
            kind = _kind_near(folder)
            is_usable = kind in (Kind.STUDY, Kind.RUN, Kind.EXPORT)
            if is_usable or (kind is Kind.PHASE and PhaseFolder(folder).is_finished):
                yield folder
        num_seen += len(below)
        if num_seen >= _MAX_FOLDERS:
            return
        level = below


def _kind_near(path: pathlib.Path) -> Kind:
    """What a folder is that nobody named: a damaged or locked one is none of ours."""
    try:
        return kind_of(path)
    except (RunError, OSError):
        return Kind.OTHER


def _read(path: pathlib.Path) -> Mapping[str, Any]:
    try:
        found = read_json(path)
    except ValueError as error:
        raise RunError(str(error)) from error
    return found if isinstance(found, Mapping) else {}
