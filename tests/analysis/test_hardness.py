"""Easy and hard images: by hand, and on simulated runs whose truth is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks._studies import Truth, simulate_scores
from fine2coarse.analysis.hard_images import hard_wins
from fine2coarse.analysis.hardness import hardness
from fine2coarse.analysis.uses import ComparisonError
from tests.analysis.simulated import KnownPredictions, finished_run


def runs_of(scores: dict[str, np.ndarray]):
    """Runs of scores [S, N]: wrong where positive, the margin is the score's negative."""
    return [
        finished_run(arm, seed, row > 0, -row, classes=4 + number)
        for number, (arm, table) in enumerate(scores.items())
        for seed, row in enumerate(table)
    ]


def split(found, by: str, arm: str = "arm"):
    return next(one for one in found.arms if (one.split_by, one.arm) == (by, arm))


# Baseline's scores at two seeds: images 0-3 are hard for seed 1, images 2-5 for seed 0.
SCORES = {
    "baseline": np.array(
        [[-9.0, -8, 1, 2, 3, 4, -7, -6], [1.0, 2, 3, 4, -6, -7, -8, -9]]
    ),
    "arm": np.array([[-1.0, -2, -3, 4, 5, -4, -5, -6], [1.0, 2, -1, 4, -3, -4, -5, -6]]),
}  # fmt: skip


def test_each_seed_is_split_by_the_other_by_hand():
    found = split(hardness(runs_of(SCORES)), "margin")
    # Seed 0, split by seed 1 (hard: 0-3): baseline misses 2, 3 and the arm 3: gain 1/4 on hard;
    # on easy (4-7) baseline misses 4, 5 and the arm 4: 1/4.
    # Seed 1, split by seed 0 (hard: 2-5): 2, 3 against 3: 1/4; easy: 0, 1 against 0, 1: 0.
    assert found.held_out.hard.estimate == pytest.approx(1 / 4)
    assert found.held_out.easy.estimate == pytest.approx(1 / 8)
    assert found.held_out.difference.estimate == pytest.approx(1 / 8)
    assert found.held_out.hard_error == found.held_out.easy_error == pytest.approx(1 / 2)
    assert found.hard_share == 0.5 and found.num_pairs == 2
    # By its own seed, all of the baseline's errors are hard ones, and so are all gains.
    assert found.same_seed.hard.estimate == pytest.approx(3 / 8)
    assert found.same_seed.easy.estimate == pytest.approx(-0 / 8)
    # Mirrored: hard by the arm's other seed. Seed 0: {0, 1, 3, 2}: arm 3, baseline 2, 3: -1/4;
    # easy: arm 4, baseline 4, 5: -1/4. Seed 1: hard {4, 3, 0, 1}: arm 0, 1, 3, baseline as many: 0;
    # easy: arm none, baseline 2: -1/4.
    assert found.mirror.hard.estimate == pytest.approx(-1 / 8)
    assert found.mirror.easy.estimate == pytest.approx(-1 / 4)
    assert found.excess.estimate == pytest.approx((1 / 8 - 1 / 8) / 2)


def test_the_direct_use_is_split_and_compared_alike():
    # The arm's transferred use here has the baseline's predictions; its direct use the arm's above.
    runs = runs_of({"baseline": SCORES["baseline"], "arm": SCORES["baseline"]})
    theirs = runs_of(SCORES)
    runs[2:] = [
        dataclasses.replace(
            run,
            predictions=KnownPredictions(run.predictions.transferred, one.predictions.transferred),
        )
        for run, one in zip(runs[2:], theirs[2:])
    ]
    expected = split(hardness(theirs), "margin")
    found = split(hardness(runs, use="direct"), "margin")
    assert found.use == "direct" and expected.use == "transferred"
    assert (found.held_out, found.mirror) == (expected.held_out, expected.mirror)
    assert split(hardness(runs), "margin").held_out.hard.estimate == 0.0
    with pytest.raises(ComparisonError, match="no arm"):
        hardness(runs_of(SCORES), use="direct")


def test_hard_wins_by_hand():
    assert hard_wins(runs_of(SCORES), "arm") == ["image2"]
    three = {arm: np.vstack([table, table[1]]) for arm, table in SCORES.items()}
    three["arm"][:, 3] = [-1, 1, -1]
    three["baseline"][:, 0] = [1, 1, 1]
    three["arm"][:, 0] = [-1, -1, -1]
    assert hard_wins(runs_of(three), "arm") == ["image2", "image0", "image3"]
    with pytest.raises(ComparisonError, match="no arm 'other'"):
        hard_wins(runs_of(SCORES), "other")


def test_one_seed_cannot_split():
    one = {arm: table[:1] for arm, table in SCORES.items()}
    with pytest.raises(ComparisonError, match=r"at least 2 seeds in common, got .*'arm': 1"):
        hardness(runs_of(one))
    with pytest.raises(ComparisonError, match="no arm"):
        hardness(runs_of({"baseline": SCORES["baseline"]}))


def test_superclasses_by_hand():
    found = hardness(runs_of(SCORES)).superclasses
    assert [one.class_name for one in found] == ["0", "1", "2", "3"]
    # Class 2 holds images 2 and 6: the baseline misses image 2 at both seeds, the arm never.
    assert found[2].num_images == 2 and found[2].baseline_error == 0.5
    assert found[2].gain.estimate == pytest.approx(0.5)


TRUTH = Truth(num_arms=1, num_seeds=3, num_images=1500, own_deviation=0.0)


def test_equal_recipes_gain_nothing_on_hard_images_but_a_naive_split_says_so():
    generator = np.random.default_rng(0)
    held_out, naive, excess, chance = [], [], [], []
    for _ in range(20):
        scores = simulate_scores(TRUTH, generator)
        found = hardness(runs_of(dict(zip(("baseline", "arm"), scores))))
        for by in ("margin", "missed"):
            one = split(found, by)
            held_out.append(one.held_out.difference)
            naive.append(one.same_seed.difference)
            excess.append(one.excess)
            chance.append(one.random_difference)
    assert abs(np.mean([i.estimate for i in held_out])) < 0.015
    assert np.mean([i.low > 0 for i in naive]) > 0.95
    assert np.mean([i.estimate for i in naive]) > 0.05
    assert abs(np.mean([i.estimate for i in chance])) < 0.005
    for intervals in (held_out, excess):
        assert np.mean([i.low <= 0 <= i.high for i in intervals]) >= 0.9


def test_other_errors_alone_are_seen_in_both_mirrors_and_cancel():
    truth = Truth(num_arms=1, num_seeds=3, num_images=3000, own_deviation=1.5)
    scores = simulate_scores(truth, np.random.default_rng(1))
    one = split(hardness(runs_of(dict(zip(("baseline", "arm"), scores)))), "margin")
    assert one.held_out.difference.low > 0 and one.mirror.difference.low > 0
    assert one.excess.low < 0 < one.excess.high
    assert "who splits them can explain" in one.words


def test_a_gain_on_hard_images_alone_is_found():
    truth = Truth(num_arms=2, num_seeds=3, num_images=3000, own_deviation=0.0)
    baseline, arm, judge = simulate_scores(truth, np.random.default_rng(2))
    mended = (judge.mean(0) > 0) & (np.arange(3000) % 3 == 0)
    arm[:, mended] = -1.0
    runs = runs_of({"baseline": baseline, "arm": arm})
    found = hardness(runs)
    for by in ("margin", "missed"):
        one = split(found, by)
        assert one.held_out.hard.low > 0.05 and one.excess.low > 0
        assert one.held_out.easy.low < 0.01 < one.held_out.difference.low
        assert one.random_difference.high < one.held_out.difference.low
        assert "larger on hard images, whoever splits them" in one.words
    wins = hard_wins(runs, "arm")
    assert (
        np.mean([int(image.removeprefix("image")) in np.flatnonzero(mended) for image in wins])
        > 0.5
    )
