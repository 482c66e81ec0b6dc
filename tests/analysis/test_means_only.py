"""Runs without predictions for single images have means in the same comparison, and no verdicts."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.analysis.predictions import RunPredictions
from fine2coarse.analysis.sentences import headline, sentences, transfer_losses
from fine2coarse.analysis.statistics import compare
from fine2coarse.analysis.uses import ComparisonError
from tests.analysis.simulated import finished_run


def run(
    tmp_path, arm: str, seed: int, wrong: int, direct: int | None = None, transfer: str = "new"
) -> FinishedRun:
    """A run of which only counts are known, of 100 images."""
    counts = {"images_seen": 10, "elapsed_seconds": 1.0, "num_classes": 4 if direct is None else 32}
    pretrained = None
    if arm != "baseline":
        pretrained = counts.copy()
    if direct is not None:
        pretrained["evaluation"] = {"num_wrong": direct, "num_images": 100}
    tested = {**counts, "evaluation": {"num_wrong": wrong, "num_images": 100}}
    return FinishedRun(arm, seed, tmp_path, pretrained, tested, transfer, RunPredictions(tmp_path))


def test_means_and_changes_over_the_seeds_that_both_have(tmp_path):
    runs = [
        run(tmp_path, "baseline", 0, 40),
        run(tmp_path, "baseline", 1, 44),
        run(tmp_path, "fine", 0, 20, direct=10),
        run(tmp_path, "fine", 1, 24, direct=12),
        run(tmp_path, "other", 1, 55),
    ]
    baseline, other, fine = compare(runs)
    assert (baseline.arm, other.arm, fine.arm) == ("baseline", "other", "fine")
    assert baseline.transferred.error.estimate == pytest.approx(0.42)
    assert fine.direct.error.estimate == pytest.approx(0.11)
    assert fine.transferred.difference.estimate == pytest.approx(-0.2)
    assert fine.transferred.relative_change.estimate == pytest.approx(-20 / 42)
    assert fine.transferred.deviation == pytest.approx(0.02 * 2**0.5)
    assert fine.transfer_change.estimate == pytest.approx(0.11)
    # Seed 1 alone is shared: 55 against 44, not against the mean of 42.
    assert other.transferred.difference.estimate == pytest.approx(0.11)
    assert (other.transferred.num_seeds, other.transferred.num_pairs) == (1, 1)
    for use in (*fine.uses, *other.uses):
        assert math.isnan(use.error.low) and math.isnan(use.p_value) and use.verdict == ""
    assert not fine.transfer_loses and transfer_losses([baseline, other, fine]) == []


def test_means_in_words(tmp_path):
    runs = [run(tmp_path, "baseline", 0, 40), run(tmp_path, "fine", 0, 20, direct=10)]
    found = compare(runs)
    assert sentences(found) == [
        "baseline: error 40.00 %, 1 seed",
        "fine (transferred): error 50.0% lower than the baseline, 1 seed",
        "fine (direct): error 75.0% lower than the baseline, 1 seed",
    ]
    assert headline(found) == (
        "Least error: fine (direct): error 75.0% lower than the baseline, 1 seed. These runs kept "
        "no predictions for single images, so there is no test of whether that is chance."
    )


def test_a_direct_use_that_was_always_chosen_is_one_use(tmp_path):
    runs = [
        run(tmp_path, "baseline", 0, 40),
        run(tmp_path, "fine", 0, 10, direct=10, transfer="direct"),
    ]
    fine = compare(runs)[1]
    assert fine.is_always_direct and fine.transfer_change is None
    assert [use.title for use in fine.uses] == ["fine (direct)"]


def test_one_run_without_answers_leaves_means_of_all(tmp_path):
    wrong = np.arange(100) < 40
    runs = [
        run(tmp_path, "baseline", 0, 40),
        dataclasses.replace(
            finished_run("fine", 0, wrong),
            tested=run(tmp_path, "fine", 0, 40).tested,
        ),
    ]
    fine = compare(runs)[1]
    assert fine.transferred.difference.estimate == 0.0
    assert fine.transferred.words == "error as high as the baseline's, 1 seed"
    with pytest.raises(ComparisonError, match="expected images=None"):
        compare(runs, images=wrong)
