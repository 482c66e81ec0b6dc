"""Units: which there are, who does which."""

from __future__ import annotations

import pytest

from fine2coarse.errors import RecipeError
from fine2coarse.studies.run_plan import Run, parse_shard, select_runs

UNITS = [Run(arm, seed) for seed in (0, 1) for arm in ("baseline", "fine", "random")]


def test_shards_share_the_units_out():
    shares = [select_runs(UNITS, shard=(index, 4)) for index in range(4)]
    assert {run for share in shares for run in share} == set(UNITS)
    assert [len(share) for share in shares] == [2, 2, 1, 1]


def test_arms_and_seeds_are_picked_before_the_share():
    assert select_runs(UNITS, ["fine"], [1]) == [Run("fine", 1)]
    assert select_runs(UNITS, ["random", "baseline"], shard=(1, 2)) == [
        Run("random", 0),
        Run("random", 1),
    ]


@pytest.mark.parametrize(
    ("arms", "seeds", "message"),
    [
        (["fin"], [], "did you mean 'fine'"),
        ([], [2], r'seed 2 is not among .* \(0, 1\); .* --config.seeds="\(0, 1, 2\)"$'),
        ([], [5, 4], r'seed 5 is .* --config.seeds="\(0, 1, 4, 5\)"$'),
    ],
)
def test_unknown_arms_and_seeds(arms, seeds, message):
    with pytest.raises(RecipeError, match=message):
        select_runs(UNITS, arms, seeds)


@pytest.mark.parametrize("text", ["4/4", "1", "-1/2", "1/0", "a/b", "1/2/3", ""])
def test_a_share_out_of_range(text):
    with pytest.raises(RecipeError, match="0/4"):
        parse_shard(text)


def test_a_share():
    assert parse_shard("3/16") == (3, 16)


def test_seeds_that_do_not_count_from_zero_get_one_more_alone():
    runs = [Run("fine", seed) for seed in (3, 8)]
    with pytest.raises(RecipeError, match=r'--config.seeds="\(3, 5, 8\)"'):
        select_runs(runs, seeds=[5])
