"""Studies side by side: what differs, paired and unpaired differences by hand, the answer."""

from __future__ import annotations

import numpy as np
import pytest

from fine2coarse.analysis.side_by_side import compare_pairs, side_by_side
from fine2coarse.analysis.side_by_side_words import headline, ranking
from fine2coarse.analysis.study_folder import MergeError, read_study
from tests.analysis.fake_study import DIRECT, ERRORS, write_study

PHASE = {"total_steps": 40, "batch_size": 16}
LOWER = {**ERRORS, "fine": 0.10}


def rate(value: float) -> dict:
    return {"pretrain": {**PHASE, "optimizer": {"learning_rate": value}}}


@pytest.fixture
def slow(tmp_path):
    return write_study(tmp_path / "slow", transfer=PHASE, **rate(0.05))


def compared(*workdirs):
    return side_by_side([read_study(workdir) for workdir in workdirs])


def test_only_the_fields_that_differ_are_told(tmp_path, slow):
    arms = {"fine": {"source": "level", "options": {"level": "fine"}, "pretrain_steps": 60}}
    fast = write_study(tmp_path / "fast", arms=arms, transfer=PHASE, seeds=(0, 1), **rate(0.2))
    fields = compared(slow, fast).fields
    assert fields["pretrain.optimizer.learning_rate"] == [0.05, 0.2]
    assert fields["seeds"] == [[0, 1, 2], [0, 1]]
    assert fields["arms.fine.pretrain_steps"] == [0, 60]
    assert fields["arms.random"] == ["random", None]
    assert not [name for name in fields if "transfer" in name or "backbone" in name]
    assert compared(slow, write_study(tmp_path / "same", transfer=PHASE, **rate(0.05))).fields == {}


def test_differences_are_paired_over_the_seeds_that_both_have(tmp_path, slow):
    fast = write_study(
        tmp_path / "fast", errors=LOWER, seeds=(1, 2, 5), transfer=PHASE, **rate(0.2)
    )
    found = compared(slow, fast)
    change = found.changes["fine", "transferred"][1]
    assert change.is_paired and change.num_seeds == 2
    assert change.difference.estimate == pytest.approx(0.10 - 0.17)  # 20 and 34 of 200 images
    assert change.difference.low < -0.07 < change.difference.high
    same = found.changes["middle", "transferred"][1]
    assert same.difference.estimate == 0 and same.verdict == "unclear"


def test_without_a_shared_seed_they_are_not_paired(tmp_path, slow):
    fast = write_study(tmp_path / "fast", errors=LOWER, seeds=(7, 8, 9), transfer=PHASE)
    change = compared(slow, fast).changes["fine", "transferred"][1]
    assert not change.is_paired and change.difference.estimate == pytest.approx(-0.07)
    paired = compare_with_the_same_seeds(tmp_path, slow)
    assert change.difference.high > paired.high and change.difference.low < paired.low


def compare_with_the_same_seeds(tmp_path, slow):
    fast = write_study(tmp_path / "paired", errors=LOWER, transfer=PHASE)
    return compared(slow, fast).changes["fine", "transferred"][1].difference


def test_a_difference_over_other_seeds_by_hand():
    """Two seeds of four images each: 0.25, 0.75 against 0.5, 1: Welch over seeds, and images."""
    ours = {0: np.array([1.0, 0, 0, 0]), 1: np.array([1.0, 1, 1, 0])}
    theirs = {2: np.array([1.0, 1, 0, 0]), 3: np.array([1.0, 1, 1, 1])}
    change = compare_pairs({"x": (ours, theirs)})["x"]
    assert change.difference.estimate == pytest.approx(-0.25)
    # Variance of each mean over seeds: 0.125 / 2, so 0.125 of the difference, with 2 degrees of
    # freedom; of the four images' differences 0, -0.5, 0, -0.5: 0.08333 / 4, with 3.
    half = np.sqrt(4.30265**2 * 0.125 + 3.18245**2 * 0.0833333 / 4)
    assert change.difference.high == pytest.approx(min(-0.25 + half, 1), abs=1e-4)
    assert not change.is_paired and change.num_seeds == 2


def test_one_seed_tells_no_interval():
    one = compare_pairs({"x": ({0: np.eye(4)[0]}, {0: np.ones(4)})})["x"]
    assert one.verdict == "too few seeds" and not one.difference.is_known
    assert one.difference.estimate == pytest.approx(-0.75)


def test_other_test_images_stand_side_by_side_without_a_difference(tmp_path, slow):
    other = write_study(tmp_path / "other", num_images=100, transfer=PHASE)
    old = write_study(tmp_path / "old", predictions=False, transfer=PHASE)
    found = compared(slow, other, old)
    assert found.changes == {} and len(found.notes) == 2
    assert "other was tested on other images" in found.notes[0]
    assert "old kept no predictions" in found.notes[1]
    assert found.found(("fine", "transferred"), 1).error.estimate == pytest.approx(0.17)
    assert headline(found).endswith("Not comparable with other and old.")


def test_the_answer_names_the_lowest_and_how_sure_that_is(tmp_path, slow):
    fast = write_study(tmp_path / "fast", errors=LOWER, transfer=PHASE, **rate(0.2))
    found = compared(slow, fast)
    assert headline(found) == (
        "Lowest error: fast, fine, at 10.00 % (its baseline: 36.00 %). For certain lower than the "
        "best of slow."
    )
    first, second = ranking(found)
    assert first == "fast: fine, at 10.00 % (its baseline: 36.00 %)"
    assert second.startswith("slow: fine, at 17.00 % (its baseline: 36.00 %); 7.0 points more than")
    same = compared(slow, write_study(tmp_path / "same", transfer=PHASE, **rate(0.2)))
    assert headline(same).endswith("Not certainly lower than the best of same: that may be chance.")


def test_a_best_arm_above_its_baseline_does_not_read_as_a_success(tmp_path):
    losing = {"baseline": 0.2, "fine": 0.3, "middle": 0.4, "random": 0.4}
    first = write_study(tmp_path / "a", errors=losing, seeds=(0,))
    second = write_study(tmp_path / "b", errors=losing, seeds=(0,))
    told = headline(compared(first, second))
    assert "at 30.00 % (above its baseline: 20.00 %)" in told
    assert "one seed cannot tell: use 3 or more" in told
    better = write_study(
        tmp_path / "c", errors={**losing, "baseline": 0.1, "fine": 0.4}, seeds=(0,)
    )
    assert "The baseline of c has less: 10.00 %." in headline(compared(first, better))
    assert "has less" not in told


def test_both_uses_have_rows_where_they_differ(tmp_path):
    first = write_study(tmp_path / "a", direct=DIRECT, candidates=True)
    found = compared(first, write_study(tmp_path / "b"))
    # `fine` is used directly in every seed of the first study, so that both uses are one there.
    assert ("middle", "direct") in found.uses and ("fine", "direct") not in found.uses
    assert found.found(("middle", "direct"), 1) is None
    assert found.uses[0] == ("baseline", "transferred")


def test_too_few_studies(slow):
    with pytest.raises(MergeError, match=r"got 1 study .*--compare runs/a runs/b"):
        compared(slow)
    with pytest.raises(MergeError, match="is named twice"):
        compared(slow, slow)
