"""Finds studies, lone runs, prepared data and exports below folders; links are not followed."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from fine2coarse.errors import UsageError
from fine2coarse.hub.resolve import SAVED_MODEL
from fine2coarse.recipes.names import BASELINE, PRETRAIN, TRANSFER
from fine2coarse.runs.phase_folder import CHECKPOINTS, EVENTS, RECIPE, RUNS, TRIALS, RunError
from fine2coarse.runs.run_folders import Kind, kind_of

CLAIMS = "claims"
STUDY = "study.json"
DATASET_INFO = "dataset_info.json"
# What a study's folder holds of its own; prepared data or an export may lie there too.
_OF_STUDIES = {RUNS, CLAIMS, EVENTS, "pictures", "tables", "thumbnails"}
_OF_PHASES = {CHECKPOINTS, CLAIMS, EVENTS, TRIALS}
_FOREIGN = {"__pycache__", "node_modules", "site-packages"}


@dataclasses.dataclass
class Found:
    """What lies below some folders, each list in the order of the paths.

    Attributes:
      studies: folders of studies.
      phases: folders of phases outside of studies, as `pretrain` and `transfer` make them.
      data: folders of prepared data, one a dataset.
      exports: folders of SavedModels.
      problems: a line for what could not be read.
    """

    studies: list[pathlib.Path] = dataclasses.field(default_factory=list)
    phases: list[pathlib.Path] = dataclasses.field(default_factory=list)
    data: list[pathlib.Path] = dataclasses.field(default_factory=list)
    exports: list[pathlib.Path] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)


def find_folders(roots: Sequence[pathlib.Path]) -> Found:
    """What lies below folders, themselves included; hidden folders are left out.

    Neither a study's runs nor the records of prepared data are looked into.

    Args:
      roots: where to look; what lies below two of them is found once.

    Raises:
      UsageError: where one is no folder.
    """
    for root in roots:
        if not root.is_dir():
            where = "a local folder that your studies are in, such as runs"
            raise UsageError(f"{root}: no such folder; give {where}")
    found, seen = Found(), set()
    for root in roots:
        _look_into(root, found, seen)
    return found


def _look_into(folder: pathlib.Path, found: Found, seen: set[pathlib.Path]) -> None:
    """Adds what a folder is, or what lies in it."""
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    try:
        with os.scandir(folder) as items:
            entries = sorted(items, key=lambda item: item.name)
        folders = {e.name for e in entries if e.is_dir(follow_symlinks=False)}
    except OSError as error:
        found.problems.append(f"{folder}: {error.strerror}")
        return
    files = {entry.name for entry in entries} - folders
    if SAVED_MODEL in files:
        found.exports.append(folder)
        return
    if DATASET_INFO in files:
        found.data.append(folder)
        return
    own = _add(folder, files, folders, found)
    for entry in entries:
        name = entry.name
        if name in folders and name not in own | _FOREIGN and not name.startswith("."):
            _look_into(folder / name, found, seen)


def _add(folder: pathlib.Path, files: set[str], folders: set[str], found: Found) -> set[str]:
    """Adds a study or a phase; returns the names of the folders within that belong to it."""
    if RECIPE in files:
        try:
            kind = kind_of(folder)
        except (RunError, OSError) as error:
            found.problems.append(str(error))
            return _OF_STUDIES if RUNS in folders else _OF_PHASES
        if kind is Kind.STUDY:
            found.studies.append(folder)
            return _OF_STUDIES
        if kind is Kind.PHASE:
            found.phases.append(folder)
            return _OF_PHASES
        found.problems.append(f"{folder / RECIPE}: neither of a study nor of a phase; passed over")
    elif STUDY in files and RUNS in folders:
        found.problems.append(
            f"{folder}: a study without {RECIPE}; the command that made it writes it again"
        )
        return _OF_STUDIES
    elif TRIALS in folders and not {PRETRAIN, TRANSFER, BASELINE} & folders:
        found.phases.append(folder)  # a transfer that is being tried
        return _OF_PHASES
    return set()
