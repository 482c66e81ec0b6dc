"""Intervals, p-values and verdicts: by hand, against SciPy, and on studies whose truth is known."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from benchmarks._studies import Candidates, Truth, simulate, simulate_differences
from fine2coarse.analysis.comparison import Comparison
from fine2coarse.analysis.intervals import TwoWayMean, holm, moderate, ratio
from fine2coarse.analysis.sentences import headline, sentences, summary, transfer_losses
from fine2coarse.analysis.statistics import compare, compare_to_baseline, repeats
from fine2coarse.analysis.uses import TRANSFERRED, ComparisonError
from fine2coarse.recipes.names import DIRECT
from tests.analysis.simulated import finished_run, finished_runs


def errors(*counts: int, images: int = 100) -> np.ndarray:
    """Bool [seeds, images]: the first `count` images of each seed are wrong."""
    return np.arange(images) < np.asarray(counts)[:, None]


def compared(runs, **options) -> list[Comparison]:
    """The arms after transfer."""
    return [arm.transferred for arm in compare(runs, **options)]


def test_the_parts_of_a_variance_by_hand():
    # Means of seeds 1 and 3, of images 0 and 4, of all 2; nothing is left over.
    mean = TwoWayMean.of(np.array([[-1.0, 3.0], [1.0, 5.0]]))
    assert (mean.mean, mean.seed_variance, mean.images_variance) == (2.0, 2.0, 4.0)
    # Nothing but interaction: residual variance 4, over 2 images.
    mean = TwoWayMean.of(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    assert (mean.mean, mean.seed_variance, mean.images_variance) == (0.0, 2.0, 0.0)


def test_is_the_paired_t_test_where_images_do_not_matter():
    ours, base = np.array([0.31, 0.28, 0.33, 0.30]), np.array([0.35, 0.34, 0.36, 0.31])
    mean = TwoWayMean.of(np.repeat((ours - base)[:, None], 50, 1))
    expected = stats.ttest_rel(ours, base)
    assert mean.p_value() == pytest.approx(expected.pvalue, rel=1e-6)
    bounds = expected.confidence_interval(0.9)
    found = mean.interval(0.9)
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high))


def test_is_the_t_test_over_images_where_seeds_do_not_matter():
    row = np.random.default_rng(0).normal(0.1, 1.0, 80)
    mean = TwoWayMean.of(np.stack([row, row, row]))
    assert mean.p_value() == pytest.approx(stats.ttest_1samp(row, 0.0).pvalue, rel=1e-6)


def test_half_width_adds_both_parts_each_with_its_own_quantile():
    mean = TwoWayMean.of(np.array([[-1.0, 3.0], [1.0, 5.0]]))
    quantile = stats.t.ppf(0.975, 1)
    assert mean.half_width(0.05) == pytest.approx(quantile * math.sqrt(2.0 / 2 + 4.0))


def test_moderation_by_hand():
    def of(variance: float) -> TwoWayMean:
        return TwoWayMean(0.0, variance, 2, 0.0, 3, 100)

    found = moderate({"a": of(1.0), "b": of(4.0), "one": TwoWayMean.of(np.ones((1, 9)))})
    # Typical 2.5, weighing 2 (1 - 1/2) = 1 degree of freedom against an arm's own 2.
    assert found["a"].seed_variance == pytest.approx((1 * 2.5 + 2 * 1.0) / 3)
    assert found["b"].seed_variance == 4.0, "its own where that is larger"
    assert found["a"].seed_freedom == 3
    assert math.isnan(found["one"].seed_variance)
    assert moderate({"a": of(1.0)}) == {"a": of(1.0)}


def test_fiellers_interval_by_hand():
    ours, base = np.array([2.0, 4.0, 3.0]), np.array([10.0, 11.0, 9.0])
    tables = [np.repeat(x[:, None], 30, 1) for x in (ours, base)]
    found = ratio(*tables, TwoWayMean.of(tables[0] - tables[1]), 0.95)
    # (m_a - r m_b)² = t²/S (v_a - 2 r c + r² v_b), with v = 1, 1 and c = 0.5.
    t2 = stats.t.ppf(0.975, 2) ** 2 / 3
    roots = np.roots([100 - t2, -2 * 30 + t2, 9 - t2]).real
    assert found.estimate == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((max(roots.min(), 0.0), roots.max()))


def test_ratio_is_unbounded_where_the_base_may_be_zero():
    ours, base = np.full((2, 50), 0.5), np.repeat([[0.0], [1.0]], 50, 1)
    assert ratio(ours, base, TwoWayMean.of(ours - base), 0.95).high == math.inf
    assert ratio(ours, base * 0, TwoWayMean.of(ours), 0.95) is None


def test_holm_by_hand_and_never_above_scipys_bonferroni():
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": math.nan})
    assert adjusted == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def test_a_clear_study_in_words():
    runs = finished_runs({"baseline": errors(40, 42, 41), "fine": errors(20, 22, 21)})
    baseline, fine = compared(runs)
    assert (baseline.error.estimate, baseline.deviation) == pytest.approx((0.41, 0.01))
    assert fine.difference.estimate == pytest.approx(-0.2)
    assert fine.relative_change.estimate == pytest.approx(21 / 41 - 1)
    assert fine.verdict == "lower" and fine.p_value == fine.adjusted_p_value
    change = fine.relative_change
    expected = f"[{-100 * change.high:.1f}, {-100 * change.low:.1f}], 3 seeds"
    assert fine.sentence == f"fine: error 48.8% lower than the baseline {expected}"
    assert headline(compare(runs)).startswith(
        "fine (5 classes) beat the baseline: error 48.8% lower"
    )


def test_verdicts_on_both_sides_and_headlines():
    base = errors(40, 43, 41, 44)
    worse = compare(finished_runs({"baseline": base, "worse": errors(80, 83, 81, 84)}))
    assert worse[1].transferred.verdict == "higher"
    # 82 of 100 images against 42, in the mean over seeds
    assert headline(worse).startswith(
        "No label space beat the baseline: worse, with 95.2 % more errors than the baseline ["
    )
    same = compare(finished_runs({"baseline": base, "same": errors(43, 40, 44, 41)}))
    assert same[1].transferred.verdict == "unclear" and "as high as" in sentences(same)[1]
    near = compare(finished_runs({"baseline": base, "near": errors(42, 40, 41, 43)}))
    assert sentences(near)[1].endswith("no clear difference from the baseline")
    assert "lower to" in sentences(near)[1] or "higher to" in sentences(near)[1]
    assert headline(near).startswith("No label space beat the baseline for certain. The one of ")
    assert "near, with 1.2 % fewer errors than the baseline [" in headline(near)
    assert headline(near).endswith("], which may be chance.")
    assert "as many errors as the baseline" in headline(same)


def test_too_few_seeds_are_said():
    one = compare(finished_runs({"baseline": errors(40), "fine": errors(2)}))
    fine = one[1].transferred
    assert fine.verdict == "too few seeds" and not fine.difference.is_known
    assert "one seed cannot tell" in fine.sentence
    assert headline(one) == (
        "Too few seeds to tell: use 3 or more. Seen, but not certain: fine, with 95.0 % fewer "
        "errors than the baseline, 1 seed."
    )
    losing = compare(finished_runs({"baseline": errors(40), "fine": errors(50)}))
    assert "fine, with 25.0 % more errors than the baseline" in headline(losing)
    two = compared(finished_runs({"baseline": errors(40, 30), "fine": errors(30, 26)}))
    assert two[1].verdict == "unclear" and "use 3 or more" in two[1].sentence


def test_arms_are_paired_over_the_seeds_they_share():
    runs = finished_runs({"baseline": errors(40, 44, 90), "fine": errors(20, 22)})
    fine = compared(runs)[1]
    assert (fine.num_seeds, fine.num_pairs) == (2, 2)
    assert fine.difference.estimate == pytest.approx(0.21 - 0.42)
    swapped = compared(runs, baseline="fine")
    assert swapped[0].arm == "fine" and "2 seeds shared of 3" in swapped[1].sentence
    lonely = compared(
        [finished_run("baseline", 0, errors(3)[0]), finished_run("fine", 1, errors(3)[0])]
    )
    assert lonely[1].difference is None and "no seed in common" in lonely[1].sentence
    assert compared(finished_runs({"fine": errors(3, 4)}))[0].verdict == "too few seeds"
    assert headline(compare(finished_runs({"baseline": errors(3, 4)}))).startswith(
        "There is nothing"
    )


def test_some_images_only_and_other_images():
    runs = finished_runs({"baseline": errors(40, 42), "fine": errors(20, 22)})
    last = compared(runs, images=np.arange(100) >= 20)
    assert last[1].error.estimate == pytest.approx(1 / 80)
    with pytest.raises(ComparisonError, match="fewer than 2"):
        compare(runs, images=np.arange(100) == 3)
    with pytest.raises(ComparisonError, match="cannot be compared"):
        compare([*runs, finished_run("other", 0, np.zeros(99, bool))])


def test_arms_without_errors_and_a_faultless_baseline():
    none = errors(0, 0)
    found = compared(finished_runs({"baseline": none, "same": none}))[1]
    assert (found.p_value, found.verdict, found.relative_change) == (1.0, "unclear", None)
    faultless = compared(finished_runs({"baseline": errors(40, 41, 42), "none": errors(0, 0, 0)}))[
        1
    ]
    assert faultless.relative_change.estimate == faultless.relative_change.high == -1.0


def test_change_difference_and_p_value_never_disagree():
    generator = np.random.default_rng(0)
    tried = 0
    for _ in range(60):
        seeds, images = generator.integers(2, 6), generator.integers(20, 300)
        shares = generator.uniform(0.02, 0.6, 2)
        drawn = [generator.random((seeds, images)) < share for share in shares]
        found = compared(finished_runs(dict(zip(("baseline", "arm"), drawn))))[1]
        if found.relative_change and abs(found.p_value - 0.05) > 1e-6:
            tried += 1
            assert found.difference.excludes_zero == (found.p_value < 0.05)
            assert found.relative_change.excludes_zero == found.difference.excludes_zero
    assert tried > 50


def both_uses(base, **arms):
    """Runs of a baseline and of arms that are (transferred, direct), bool [S, N] each."""
    transferred = {name: uses[0] for name, uses in arms.items()}
    direct = {name: uses[1] for name, uses in arms.items()}
    return finished_runs({"baseline": base, **transferred}, direct)


BASE = errors(40, 42, 41)


def test_both_uses_are_compared_with_the_baseline_and_the_better_one_is_named():
    found = compare(both_uses(BASE, fine=(errors(30, 33, 31), errors(20, 22, 21))))
    baseline, fine = found
    assert baseline.direct is None and baseline.transferred.title == "baseline"
    assert fine.transferred.difference.estimate == pytest.approx(-29 / 300)
    assert fine.direct.difference.estimate == pytest.approx(-0.2)
    assert fine.transfer_change.estimate == pytest.approx(31 / 300)
    assert (fine.better, fine.transferred.verdict) == (fine.direct, "lower")
    assert headline(found).startswith(
        "fine (5 classes), used directly, beat the baseline: error 48.8% lower"
    )
    assert [line.split(":")[0] for line in sentences(found)] == [
        "baseline", "fine (transferred)", "fine (direct)"
    ]  # fmt: skip


def test_a_use_that_beats_the_baseline_is_named_before_one_of_less_error():
    # Directly 19 on average, but as low as 1 and as high as 41; transferred 21 at every seed.
    found = compare(both_uses(BASE, fine=(errors(20, 22, 21), errors(1, 15, 41))))
    assert found[1].direct.error.estimate < found[1].transferred.error.estimate
    assert (found[1].direct.verdict, found[1].better.use) == ("unclear", TRANSFERRED)
    assert headline(found).startswith("fine (5 classes), after transfer, beat the baseline")


def test_a_transfer_that_loses_is_told_with_what_to_try():
    runs = both_uses(
        BASE,
        lost=(errors(30, 33, 31), errors(20, 22, 21)),
        won=(errors(9, 9, 9), errors(20, 22, 21)),
    )
    told, advice = transfer_losses(compare(runs), {"transfer_mode": "finetune"})
    assert told.startswith("lost: transfer lost 10.3 points [") and "used directly" in told
    assert "transfer_candidates on 'auto'" in advice and "transfer_head=summed" in advice
    assert "--config.transfer.optimizer.learning_rate" in advice
    auto = {"transfer_candidates": "auto", "transfer_head": "auto", "transfer_mode": "auto"}
    assert "transfer_candidates" not in transfer_losses(compare(runs), auto)[1]
    fixed = auto | {"transfer_head": "summed"}
    advice = transfer_losses(compare(runs), fixed)[1]
    assert "transfer_candidates" in advice and "transfer_head=summed" not in advice
    lines = summary(compare(runs), fixed).splitlines()
    assert len(lines) == 9 and lines[5] == "" and lines[7:] == transfer_losses(compare(runs), fixed)
    unsure = compare(both_uses(BASE, lost=(errors(21, 22, 20), errors(20, 22, 21))))
    assert transfer_losses(unsure) == []


def test_uses_that_are_one_are_counted_and_said_once():
    chosen = errors(20, 22, 21)
    found = compare(both_uses(BASE, fine=(chosen, chosen), other=(errors(39, 43, 40), BASE)))
    fine, other = found[1:]
    assert fine.is_always_direct and fine.transfer_change is None and not fine.transfer_loses
    assert fine.better.use == DIRECT and fine.direct.p_value == fine.transferred.p_value
    assert [line.split(":")[0] for line in sentences(found)] == [
        "baseline", "fine (direct)", "other (transferred)", "other (direct)"
    ]  # fmt: skip
    # Another model with the same errors counts once too, but is not called direct.
    named = [
        dataclasses.replace(run, transfer="summed")
        for run in both_uses(BASE, fine=(chosen, chosen))
    ]
    alike = compare(named)[1]
    assert not alike.is_always_direct and alike.better.title == "fine (transferred)"
    # Three tests, not four: the smallest p-value is multiplied by 3.
    assert fine.direct.adjusted_p_value == pytest.approx(3 * fine.direct.p_value)
    assert other.transferred.verdict == other.direct.verdict == "unclear"
    twice = errors(20, 22, 25)  # chosen at two of three seeds: two uses
    assert compare(both_uses(BASE, fine=(chosen, twice)))[1].uses[0].title == "fine (transferred)"


def test_an_arm_does_not_borrow_from_its_own_other_use():
    table, base = errors(20, 26, 21).astype(float), BASE.astype(float)
    other = errors(20, 26, 22).astype(float)
    compared = compare_to_baseline({("a", TRANSFERRED): table - base, ("a", DIRECT): other - base})
    alone = TwoWayMean.of(table - base)
    assert compared["a", TRANSFERRED].difference == alone and alone.seed_freedom == 2


def test_an_arm_that_lacks_its_direct_use_at_a_seed():
    runs = both_uses(BASE, fine=(errors(30, 33, 31), errors(20, 22, 21)))
    runs[-1] = finished_run("fine", 2, errors(31)[0], classes=5)
    fine = compare(runs)[1]
    assert (fine.transferred.num_seeds, fine.direct.num_seeds) == (3, 2)
    assert fine.transfer_change.estimate == pytest.approx(0.105)


@pytest.mark.parametrize("num_seeds", [3, pytest.param(5, marks=pytest.mark.slow)])
def test_identical_arms_have_no_winner_in_more_than_one_try_of_twenty(num_seeds):
    generator = np.random.default_rng(num_seeds)
    truth = Truth(num_arms=11, num_seeds=num_seeds, num_images=1000)
    declared = sum(_declares(truth, generator) for _ in range(200))
    assert declared <= 10


def _declares(truth: Truth, generator: np.random.Generator) -> bool:
    wrong = simulate(truth, generator)
    differences = {str(a): TwoWayMean.of(table - wrong[0]) for a, table in enumerate(wrong) if a}
    adjusted = holm({arm: mean.p_value() for arm, mean in moderate(differences).items()})
    return min(adjusted.values()) < 0.05


@pytest.mark.parametrize("run_deviations", [0.003, (0.002, 0.015)])
def test_intervals_hold_what_they_promise(run_deviations):
    generator = np.random.default_rng(7)
    truth = Truth(
        num_arms=11, num_seeds=3, num_images=1000, run_deviation=run_deviations, gain=0.03
    )
    covered = [_covers(truth, generator) for _ in range(100)]
    assert np.mean(covered) >= 0.93
    assert np.mean(covered, axis=0).min() >= 0.88  # each arm's 100 tries: 0.95 less 3 deviations


def _covers(truth: Truth, generator: np.random.Generator) -> list[bool]:
    wrong = simulate(truth, generator)
    differences = {str(a): TwoWayMean.of(table - wrong[0]) for a, table in enumerate(wrong) if a}
    found = [mean.interval(0.95) for mean in moderate(differences).values()]
    expected = truth.errors[1:] - truth.errors[0]
    return [i.low <= e <= i.high for i, e in zip(found, expected)]


CHOOSING = Truth(num_arms=5, num_seeds=3, num_images=1000)


def test_choosing_among_equal_transfers_makes_no_winner_of_identical_arms():
    generator = np.random.default_rng(0)
    declared, covered, repeated = 0, [], 0
    for _ in range(200):
        differences = simulate_differences(CHOOSING, Candidates(number=3), generator)
        compared = compare_to_baseline(differences)
        declared += min(one.adjusted_p_value for one in compared.values()) < 0.05
        covered += [_holds(one.difference, 0.0) for one in compared.values()]
        repeated += len(repeats(differences))
    assert declared <= 10
    assert np.mean(covered) >= 0.93
    assert 15 <= repeated <= 65  # the first of 3 chosen at all of 3 seeds: 1000 arms / 27 = 37


def test_choosing_the_better_transfer_does_not_bias_its_interval():
    generator = np.random.default_rng(1)
    candidates = Candidates(number=4, deviation=0.02)
    found = [
        compare_to_baseline(simulate_differences(CHOOSING, candidates, generator))
        for _ in range(100)
    ]
    for use, expected in ((TRANSFERRED, 0.0), (DIRECT, candidates.gain)):
        means = [
            one.difference for compared in found for key, one in compared.items() if key[1] == use
        ]
        assert np.mean([_holds(mean, expected) for mean in means]) >= 0.93
        assert np.mean([mean.mean for mean in means]) == pytest.approx(expected, abs=0.002)


def _holds(mean: TwoWayMean, expected: float) -> bool:
    interval = mean.interval(0.95)
    return interval.low <= expected <= interval.high


def test_what_choosing_gains_by_hand():
    assert Candidates(number=4).gain == 0.0  # all alike
    # The larger of two standard normals is 1 / sqrt(pi) on average; without noise all of it counts.
    two = Candidates(number=2, deviation=0.01, held_out_deviation=0.0)
    assert two.gain == pytest.approx(0.01 / math.sqrt(math.pi))
    noisy = dataclasses.replace(two, held_out_deviation=0.01)
    assert noisy.gain == pytest.approx(0.01 / math.sqrt(2 * math.pi))


def test_the_simulation_has_the_errors_it_says():
    truth = Truth(num_arms=2, num_seeds=40, num_images=4000, run_deviation=0.01, gain=0.05)
    wrong = simulate(truth, np.random.default_rng(0))
    assert wrong.mean((1, 2)) == pytest.approx(truth.errors, abs=0.025)
    flat = dataclasses.replace(truth, image_deviation=0.0)
    wrong = simulate(flat, np.random.default_rng(0))
    assert wrong.mean((1, 2)) == pytest.approx(flat.errors, abs=0.006)
    assert wrong.mean(2).std(1) == pytest.approx(np.full(3, 0.012), abs=0.004)
