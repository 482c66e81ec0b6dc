"""All that lies below some folders, as tables or JSON."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fine2coarse import formats, terminal
from fine2coarse.folders.disk import Measured, measure
from fine2coarse.folders.search import find_folders
from fine2coarse.folders.states import (
    FAILED_RUN,
    FINISHED,
    PARTLY,
    RUNNING,
    DataState,
    PhaseState,
    StudyState,
    data_state,
    phase_state,
    study_state,
    users_of_data,
)

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Inventory:
    """What lies below some folders.

    Attributes:
      studies: with their runs.
      phases: outside of studies.
      data: prepared datasets.
      exports: folder → what it takes.
      problems: a line for what could not be read.
    """

    studies: Sequence[StudyState]
    phases: Sequence[PhaseState]
    data: Sequence[DataState]
    exports: dict[pathlib.Path, Measured]
    problems: Sequence[str]

    def table(self, now: float | None = None) -> str:
        """Tables with headings, for a terminal; what there is none of is left out.

        Args:
          now: seconds since 1970; the present where None.
        """
        now = time.time() if now is None else now
        parts = [
            _table("studies", _STUDY_COLUMNS, [_study_cells(s, now) for s in self.studies], 5),
            _table("lone runs", _PHASE_COLUMNS, [_phase_cells(p, now) for p in self.phases], 5),
            _table("prepared data", _DATA_COLUMNS, [_data_cells(d, now) for d in self.data], 2),
            _table(
                "exports",
                ("folder", "age", "disk"),
                [(str(path), *_age_and_size(disk, now)) for path, disk in self.exports.items()],
                1,
            ),
        ]
        return "\n\n".join(part for part in parts if part)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON-able values: fractions, bytes, times in UTC."""
        return {
            "studies": [_study_record(study) for study in self.studies],
            "lone_runs": [_phase_record(phase) for phase in self.phases],
            "prepared_data": [_data_record(data) for data in self.data],
            "exports": [
                {"folder": str(path), **_disk_record(disk)} for path, disk in self.exports.items()
            ],
            "problems": list(self.problems),
        }


def take_inventory(roots: Sequence[pathlib.Path]) -> Inventory:
    """Reads all that lies below folders.

    Args:
      roots: where to look.

    Raises:
      UsageError: where one is no folder.
    """
    found = find_folders(roots)
    problems = list(found.problems)
    own = [*found.studies, *found.phases, *found.data, *found.exports]

    def read(folders: Sequence[pathlib.Path], state: Callable[[pathlib.Path], _T]) -> list[_T]:
        states = []
        for folder in folders:
            try:
                states.append(state(folder))
            except (OSError, ValueError) as error:
                told = " ".join(str(error).split())
                problems.append(told if str(folder) in told else f"{folder}: {told}")
        return states

    studies = read(found.studies, lambda folder: study_state(folder, _without(folder, own)))
    phases = read(found.phases, lambda folder: phase_state(folder, _without(folder, own)))
    problems += [problem for study in studies for problem in study.problems]
    users = users_of_data(found, {one.folder: one.datasets for one in (*studies, *phases)})
    data = read(found.data, lambda folder: data_state(folder, users[folder]))
    exports = {folder: measure(folder) for folder in found.exports}
    return Inventory(studies, phases, data, exports, problems)


def _without(folder: pathlib.Path, own: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    return [other for other in own if folder in other.parents]


def _table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], num_words: int
) -> str:
    """A table whose first columns are words; '' without rows."""
    if not rows:
        return ""
    return f"{title}\n{terminal.table(columns, rows, text_columns=range(num_words))}"


_STUDY_COLUMNS = (
    "folder", "recipe", "target", "state", "best arm", "runs", "error %", "baseline %", "age",
    "disk",
)  # fmt: skip
_PHASE_COLUMNS = ("folder", "phase", "labels", "seed", "state", "age", "disk")
_DATA_COLUMNS = ("folder", "used by", "images", "age", "disk")


def _study_cells(study: StudyState, now: float) -> list[str]:
    best, baseline = study.best, study.baseline
    return [
        str(study.folder),
        study.recipe,
        study.target,
        study.in_words,
        best.arm if best else "",
        f"{study.counted(FINISHED)}/{len(study.runs)}",
        best.percent if best else "",
        baseline.percent if baseline else "",
        *_age_and_size(study.disk, now),
    ]


def _phase_cells(phase: PhaseState, now: float) -> list[str]:
    seed = "" if phase.seed is None else str(phase.seed)
    first = [str(phase.folder), phase.purpose, phase.labels, seed, phase.state]
    return [*first, *_age_and_size(phase.disk, now)]


def _data_cells(data: DataState, now: float) -> list[str]:
    images = "?" if data.num_images is None else f"{data.num_images:,}"
    users = ", ".join(map(str, data.users)) or "–"
    return [str(data.folder), users, images, *_age_and_size(data.disk, now)]


def _age_and_size(disk: Measured, now: float) -> tuple[str, str]:
    age = formats.time_left(max(now - disk.changed, 0)) if disk.changed else "?"
    return age, formats.disk_size(disk.num_bytes)


def _study_record(study: StudyState) -> dict[str, Any]:
    def named(state: str) -> list[str]:
        return [run.name for run in study.runs if run.state == state]

    return {
        "folder": str(study.folder),
        "recipe": study.recipe,
        "target": study.target,
        "num_runs": len(study.runs),
        "num_finished": study.counted(FINISHED),
        "running": named(RUNNING),
        "failed": {run.name: run.note for run in study.runs if run.state == FAILED_RUN},
        "partly": named(PARTLY),
        "best_arm": study.best.arm if study.best else None,
        "best_error": study.best.mean if study.best else None,
        "baseline_error": study.baseline.mean if study.baseline else None,
        "datasets": list(study.datasets),
        **_disk_record(study.disk),
    }


def _phase_record(phase: PhaseState) -> dict[str, Any]:
    return {
        "folder": str(phase.folder),
        "phase": phase.purpose,
        "labels": phase.labels,
        "seed": phase.seed,
        "state": phase.state,
        "datasets": list(phase.datasets),
        **_disk_record(phase.disk),
    }


def _data_record(data: DataState) -> dict[str, Any]:
    return {
        "folder": str(data.folder),
        "dataset": data.name,
        "num_images": data.num_images,
        "used_by": [str(user) for user in data.users],
        **_disk_record(data.disk),
    }


def _disk_record(disk: Measured) -> dict[str, Any]:
    changed = datetime.datetime.fromtimestamp(disk.changed, datetime.UTC)
    return {"changed": changed.isoformat(timespec="seconds"), "num_bytes": disk.num_bytes}
