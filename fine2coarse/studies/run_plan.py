"""The runs of a study, each done by one process: an arm with a seed."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence

from fine2coarse.errors import RecipeError
from fine2coarse.nearest import unknown
from fine2coarse.recipes.names import BASELINE
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.runs.phase_folder import run_name


@dataclasses.dataclass(frozen=True)
class Run:
    """One arm (or the baseline) with one seed: pretraining and transfer."""

    arm: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder below `runs/`, and of its claim."""
        return run_name(self.arm, self.seed)

    def __str__(self) -> str:
        """For people to read."""
        return f"{self.arm} seed {self.seed}"


def plan_runs(recipe: Recipe) -> list[Run]:
    """All runs of a study, seed by seed, so that a study cut short is still paired."""
    arms = [BASELINE, *recipe.arms]
    return [Run(arm, seed) for seed, arm in itertools.product(recipe.seeds, arms)]


def select_runs(
    runs: Sequence[Run],
    arms: Sequence[str] = (),
    seeds: Sequence[int] = (),
    shard: tuple[int, int] = (0, 1),
) -> list[Run]:
    """The runs that one process shall do, in the plan's order.

    Args:
      runs: of the study.
      arms: only these; all where empty.
      seeds: only these; all where empty.
      shard: (i, n): of what is left, the i-th of n shares (0 to n - 1), every n-th run.

    Raises:
      RecipeError: on an arm or seed that the study has not.
    """
    known = list(dict.fromkeys(run.arm for run in runs))
    for arm in arms:
        if arm not in known:
            raise RecipeError(
                f"{unknown('arm', arm, known)}. An arm is added in the recipe card, under `arms`"
            )
    for seed in seeds:
        if all(run.seed != seed for run in runs):
            ours = sorted({run.seed for run in runs})
            raise RecipeError(
                f"seed {seed} is not among the recipe's seeds ({', '.join(map(str, ours))}); to "
                f'add it: --config.seeds="{_with_seeds(ours, seeds)}"'
            )
    wanted = [
        run for run in runs if (not arms or run.arm in arms) and (not seeds or run.seed in seeds)
    ]
    index, count = shard
    return wanted[index::count]


def _with_seeds(ours: Sequence[int], more: Sequence[int]) -> tuple[int, ...]:
    """A recipe's seeds with more; those that count up from 0 go on counting, by a few."""
    if list(ours) == list(range(len(ours))) and max(more) <= len(ours) + 2:
        return tuple(range(max(*ours, *more) + 1))
    return tuple(sorted({*ours, *more}))


def parse_shard(text: str) -> tuple[int, int]:
    """`2/8` to (2, 8).

    Raises:
      RecipeError: where it is anything else.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise RecipeError(f"--shard is i/n with i from 0 to n - 1, e.g. 0/4; got {text!r}")
    return int(match[1]), int(match[2])
