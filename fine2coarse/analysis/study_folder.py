"""What lies in study folders: one study's runs, or several studies' as if they were one."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from fine2coarse.analysis.finished import RunResults
from fine2coarse.analysis.results import Row
from fine2coarse.recipes.names import BASELINE, PRETRAIN
from fine2coarse.runs.phase_folder import (
    PREDICTIONS,
    RECIPE,
    RESULT,
    RUNS,
    last_phase,
    read_json,
    run_name,
)


class MergeError(ValueError):
    """Studies that cannot stand on one page, or a folder that holds none."""


@dataclasses.dataclass(frozen=True, eq=False)
class FinishedRun:
    """One finished run of an arm.

    Attributes:
      arm: its name on the page.
      seed: of the run.
      folder: of the run; its phases lie within.
      final: folder of the phase that was tested.
      row: its counts.
      results: of its phases.
      final_recipe: `recipe.json` of that phase.
    """

    arm: str
    seed: int
    folder: pathlib.Path
    final: pathlib.Path
    row: Row
    results: RunResults
    final_recipe: Mapping[str, Any]

    @property
    def pretrain(self) -> pathlib.Path | None:
        """Folder of the pretraining; None for the baseline."""
        return None if self.final.name == BASELINE else self.folder / PRETRAIN

    @property
    def phases(self) -> list[pathlib.Path]:
        """Folders of its phases, in order."""
        return [self.final] if self.pretrain is None else [self.pretrain, self.final]

    @property
    def has_predictions(self) -> bool:
        """Whether the answers for single images are there."""
        return (self.final / PREDICTIONS).is_file()


@dataclasses.dataclass(frozen=True, eq=False)
class StudyFolder:
    """A study as its folder tells it.

    Attributes:
      workdir: the folder.
      recipe: its `recipe.json`.
      runs: finished ones, by seed, in the order of the recipe's arms.
      num_planned: runs that the recipe asks for.
    """

    workdir: pathlib.Path
    recipe: Mapping[str, Any]
    runs: Sequence[FinishedRun]
    num_planned: int

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.workdir.resolve().name


def read_study(workdir: pathlib.Path) -> StudyFolder:
    """Reads a study's folder.

    Raises:
      MergeError: where it holds no study, or none of its runs is finished.
    """
    path = workdir / RECIPE
    if not path.is_file():
        raise MergeError(
            f"{workdir}: no {RECIPE}; expected the --workdir that launch/study.py was given"
        )
    recipe = read_json(path)
    plan = [(seed, arm) for seed in recipe["seeds"] for arm in (BASELINE, *recipe["arms"])]
    found = [_finished_run(workdir, arm, seed) for seed, arm in plan]
    runs = [run for run in found if run is not None]
    if not runs:
        raise MergeError(f"{workdir}: none of its {len(plan)} runs is finished yet")
    return StudyFolder(workdir, recipe, runs, len(plan))


def _finished_run(workdir: pathlib.Path, arm: str, seed: int) -> FinishedRun | None:
    folder = workdir / RUNS / run_name(arm, seed)
    final = folder / last_phase(arm)
    if not (final / RESULT).is_file():
        return None
    results = RunResults.read(folder, arm)
    recipe = read_json(final / RECIPE)
    return FinishedRun(arm, seed, folder, final, Row.of(results), results, recipe)
