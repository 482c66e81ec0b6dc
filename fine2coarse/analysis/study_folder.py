"""A study's folder: its recipe and its finished runs, read by one function."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from fine2coarse.analysis.finished import FinishedRun, read_run
from fine2coarse.errors import UsageError
from fine2coarse.files import read_json
from fine2coarse.recipes.names import BASELINE
from fine2coarse.runs.phase_folder import RECIPE, RUNS, PhaseFolder, last_phase, run_name


class MergeError(UsageError):
    """Studies that cannot stand on one page, or a folder that holds none."""


@dataclasses.dataclass(frozen=True, eq=False)
class StudyFolder:
    """A study as its folder tells it.

    Attributes:
      workdir: the folder.
      recipe: its `recipe.json`.
      runs: finished ones, seed by seed, in the order of the recipe's arms.
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
    """Reads a study's folder; runs that are not finished are left out.

    Args:
      workdir: what `fine2coarse study` was given as --workdir.

    Raises:
      MergeError: where it holds no study, or none of its runs is finished.
    """
    path = workdir / RECIPE
    if not path.is_file():
        raise MergeError(
            f"{workdir}: no {RECIPE}; expected the folder of a study, which is the --workdir that "
            "`fine2coarse study` was given"
        )
    recipe = read_json(path)
    plan = [(seed, arm) for seed in recipe["seeds"] for arm in (BASELINE, *recipe["arms"])]
    runs = []
    for seed, arm in plan:
        folder = workdir / RUNS / run_name(arm, seed)
        if PhaseFolder(folder / last_phase(arm)).is_finished:
            runs.append(read_run(folder, arm, seed))
    if not runs:
        raise MergeError(f"{workdir}: none of its {len(plan)} runs is finished yet")
    return StudyFolder(workdir, recipe, runs, len(plan))
