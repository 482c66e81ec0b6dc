"""A study's folder: its recipe and its finished runs, read by one function."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fine2coarse.analysis.finished import FinishedRun, read_run
from fine2coarse.errors import UsageError
from fine2coarse.files import read_json
from fine2coarse.recipes.names import BASELINE, PRETRAIN
from fine2coarse.runs.phase_folder import RECIPE, RUNS, PhaseFolder, last_phase, run_name

# Arms of which there are finished runs though the recipe has them no more: name → label spec.
EARLIER_ARMS = "earlier_arms.json"
_RUN = re.compile(r"(.+)-seed(\d+)")
_MOST_NAMED = 6

Planned = tuple[str, int]  # an arm and a seed


class MergeError(UsageError):
    """Studies that cannot stand on one page, or a folder that holds none."""


@dataclasses.dataclass(frozen=True, eq=False)
class StudyFolder:
    """A study as its folder tells it.

    Attributes:
      workdir: the folder.
      recipe: its `recipe.json`; arms and seeds of further finished runs stand after its own.
      runs: all finished ones, seed by seed, in the order of the recipe's arms.
      num_planned: runs that the recipe asks for, and finished ones that it asks for no more.
      missing: arm and seed of those that are not finished, seed by seed.
      further: arm and seed of those that are finished and not asked for any more.
    """

    workdir: pathlib.Path
    recipe: Mapping[str, Any]
    runs: Sequence[FinishedRun]
    num_planned: int
    missing: Sequence[Planned] = ()
    further: Sequence[Planned] = ()

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.workdir.resolve().name

    @property
    def is_whole(self) -> bool:
        """Whether all runs that the recipe asks for are finished."""
        return not self.missing

    @property
    def partial_note(self) -> str:
        """What is missing, for example `4 of 15 runs are finished; missing: seeds 1, 2`; or ''."""
        if self.is_whole:
            return ""
        arms = [BASELINE, *self.recipe["arms"]]
        return (
            f"partial: {len(self.runs)} of {self.num_planned:,} runs "
            f"{'is' if len(self.runs) == 1 else 'are'} finished; missing: "
            f"{runs_in_words(self.missing, arms)}"
        )

    @property
    def further_note(self) -> str:
        """That there are finished runs which the recipe asks for no more; or ''."""
        if not self.further:
            return ""
        return (
            f"the folder also holds finished runs that the recipe does not ask for any more; they "
            f"stay in results.csv and in the report: {runs_in_words(self.further)}"
        )


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
    asked = [(arm, seed) for seed in recipe["seeds"] for arm in (BASELINE, *recipe["arms"])]
    finished = [run for run in asked if is_finished(workdir, run)]
    further = further_runs(workdir, asked)
    if not finished and not further:
        raise MergeError(f"{workdir}: none of its {len(asked)} runs is finished yet")
    recipe = _with_further(workdir, recipe, further)
    runs = [
        read_run(workdir / RUNS / run_name(*run), *run)
        for run in in_order([*finished, *further], recipe["arms"], recipe["seeds"])
    ]
    missing = [run for run in asked if run not in set(finished)]
    return StudyFolder(workdir, recipe, runs, len(asked) + len(further), missing, further)


def is_finished(workdir: pathlib.Path, run: Planned) -> bool:
    """Whether a run has its last result."""
    return PhaseFolder(workdir / RUNS / run_name(*run) / last_phase(run[0])).is_finished


def further_runs(workdir: pathlib.Path, asked: Iterable[Planned]) -> list[Planned]:
    """Finished runs of the folder besides those that a recipe asks for, by arm and seed.

    Such runs of an arm or a seed were made when the recipe had it. Runs on other images, or of
    another target, than those that are asked for are left out.

    Args:
      workdir: of the study.
      asked: arm and seed of every run of the recipe.
    """
    folder, known = workdir / RUNS, set(asked)
    matches = (_RUN.fullmatch(path.name) for path in folder.glob("*-seed*"))
    found = {(match[1], int(match[2])) for match in matches if match} - known
    found = {run for run in found if is_finished(workdir, run)}
    if not found:
        return []
    first = next((run for run in sorted(known) if is_finished(workdir, run)), min(found))
    task = _task(workdir, first)
    return sorted(run for run in found if _task(workdir, run) == task)


def _task(workdir: pathlib.Path, run: Planned) -> tuple[str | None, str | None] | None:
    """What a finished run was tested on: fingerprints of the images and of the target."""
    path = workdir / RUNS / run_name(*run) / last_phase(run[0]) / RECIPE
    if not path.is_file():
        return None
    recipe = read_json(path)
    space = recipe.get("label_space") or {}
    return recipe.get("dataset_fingerprint"), space.get("fingerprint")


def in_order(runs: Iterable[Planned], arms: Iterable[str], seeds: Iterable[int]) -> list[Planned]:
    """Runs seed by seed, in the order of a recipe's seeds and arms; others after these."""
    of_arm = {arm: number for number, arm in enumerate([BASELINE, *arms])}
    of_seed = {seed: number for number, seed in enumerate(seeds)}

    def place(run: Planned) -> tuple[int, int, int, str]:
        arm, seed = run
        return of_seed.get(seed, len(of_seed)), seed, of_arm.get(arm, len(of_arm)), arm

    return sorted(runs, key=place)


def _with_further(
    workdir: pathlib.Path, recipe: Mapping[str, Any], further: Sequence[Planned]
) -> Mapping[str, Any]:
    """The recipe with arms and seeds of further runs after its own."""
    path = workdir / EARLIER_ARMS
    earlier = read_json(path) if further and path.is_file() else {}
    arms, seeds = dict(recipe["arms"]), list(recipe["seeds"])
    for arm, seed in further:
        if arm != BASELINE and arm not in arms:
            arms[arm] = earlier.get(arm) or _spec_of(workdir / RUNS / run_name(arm, seed))
        if seed not in seeds:
            seeds.append(seed)
    return {**recipe, "arms": arms, "seeds": seeds} if further else recipe


def _spec_of(run: pathlib.Path) -> dict[str, Any]:
    """An arm's label spec as far as a run of it tells, where the study does not hold it."""
    space = PhaseFolder(run / PRETRAIN).recipe()["label_space"]
    source = dict(space.get("source") or {})
    return {"source": source.pop("kind", space["name"]), "options": source}


def runs_in_words(runs: Sequence[Planned], arms: Iterable[str] = ()) -> str:
    """Arms and seeds, together where they can be: `seeds 1, 2; fine (seed 0)`.

    Args:
      runs: arm and seed of each.
      arms: all arms of the study, the baseline among them: a seed that lacks all of them is
        named alone.
    """
    arms, left, parts = list(arms), list(runs), []
    of_seed: dict[int, list[str]] = {}
    for arm, seed in runs:
        of_seed.setdefault(seed, []).append(arm)
    whole = [seed for seed, found in of_seed.items() if arms and set(arms) <= set(found)]
    if whole:
        parts.append(_seeds(whole))
        left = [run for run in runs if run[1] not in whole]
    of_arm: dict[str, list[int]] = {}
    for arm, seed in left:
        of_arm.setdefault(arm, []).append(seed)
    for arm, seeds in of_arm.items():
        parts.append(f"{arm} ({_seeds(seeds)})")
    shown = parts[:_MOST_NAMED]
    more = len(parts) - len(shown)
    return "; ".join(shown) + (f"; and {more} more arms" if more else "")


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, sorted(seeds)))}"
