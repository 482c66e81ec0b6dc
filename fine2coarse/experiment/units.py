"""The units of a study, each done by one process: an arm with a seed."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence

from fine2coarse.experiment.recipe import BASELINE, Recipe
from fine2coarse.experiment.run_folder import unit_name
from fine2coarse.experiment.strict import RecipeError
from fine2coarse.nearest import unknown


@dataclasses.dataclass(frozen=True)
class Unit:
    """One arm (or the baseline) with one seed: pretraining and transfer."""

    arm: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder below `runs/`, and of its claim."""
        return unit_name(self.arm, self.seed)

    def __str__(self) -> str:
        """For people to read."""
        return f"{self.arm} seed {self.seed}"


def plan_units(recipe: Recipe) -> list[Unit]:
    """All units of a study, seed by seed, so that a study cut short is still paired."""
    arms = [BASELINE, *recipe.arms]
    return [Unit(arm, seed) for seed, arm in itertools.product(recipe.seeds, arms)]


def select_units(
    units: Sequence[Unit],
    arms: Sequence[str] = (),
    seeds: Sequence[int] = (),
    shard: tuple[int, int] = (0, 1),
) -> list[Unit]:
    """The units that one process shall do, in the plan's order.

    Args:
      units: of the study.
      arms: only these; all where empty.
      seeds: only these; all where empty.
      shard: (i, n): of what is left, the i-th of n shares (0 to n - 1), every n-th unit.

    Raises:
      RecipeError: on an arm or seed that the study has not.
    """
    known = list(dict.fromkeys(unit.arm for unit in units))
    for arm in arms:
        if arm not in known:
            raise RecipeError(unknown("arm", arm, known))
    for seed in seeds:
        if all(unit.seed != seed for unit in units):
            raise RecipeError(
                f"seed {seed} is not among the recipe's: {sorted({u.seed for u in units})}"
            )
    wanted = [
        unit
        for unit in units
        if (not arms or unit.arm in arms) and (not seeds or unit.seed in seeds)
    ]
    index, count = shard
    return wanted[index::count]


def parse_shard(text: str) -> tuple[int, int]:
    """`2/8` to (2, 8).

    Raises:
      RecipeError: where it is anything else.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise RecipeError(f"--shard is i/n with i from 0 to n - 1, e.g. 0/4; got {text!r}")
    return int(match[1]), int(match[2])
