"""Each arm against the baseline: means, intervals and verdicts.

Runs of one seed are paired across arms, and all runs are tested on the same images: the difference
to the baseline is taken seed by seed and image by image. How its interval and p-value come about,
and why by this method, is told in `intervals.py`. An arm has two uses, each compared with the
baseline: *direct*, the pretrained model as it is with its classes' probabilities summed into the
target's, and *transferred*. Verdicts go by p-values adjusted for the number of arms and uses;
intervals are not adjusted.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from fine2coarse.analysis.comparison import (
    HIGHER,
    LOWER,
    TOO_FEW_SEEDS,
    UNCLEAR,
    ArmComparison,
    Comparison,
)
from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.analysis.intervals import Interval, TwoWayMean, holm, moderate, ratio
from fine2coarse.analysis.means_only import compare_means
from fine2coarse.analysis.predictions import StoredPredictions
from fine2coarse.analysis.sentences import words
from fine2coarse.analysis.uses import (
    TRANSFERRED,
    USES,
    ComparisonError,
    Use,
    argmax_error,
    by_arm,
    check_same_images,
    chose_direct,
    have_predictions,
    predictions_in_use,
    use_title,
)
from fine2coarse.recipes.names import BASELINE, DIRECT

CONFIDENCE = 0.95


def compare(
    runs: Sequence[FinishedRun],
    *,
    images: np.ndarray | None = None,
    baseline: str = BASELINE,
    confidence: float = CONFIDENCE,
) -> list[ArmComparison]:
    """Each arm over its seeds and against the baseline, in both uses.

    Runs of early versions kept no predictions. Where one of these is among the runs, all are
    compared by their means alone: ends of intervals and p-values are NaN, verdicts ''.

    Args:
      runs: tested on the same images; arms may lack some of the seeds.
      images: bool [N], the test images to look at; None for all.
      baseline: the arm that the others are compared with.
      confidence: of the intervals, and one minus the error rate of the verdicts.

    Returns:
      The baseline first (where there is one), then the arms by their number of classes.

    Raises:
      ComparisonError: where runs were tested on different images, fewer than 2 are looked at, or
        some are chosen and not all runs kept their predictions.
      RunError: where a run's predictions are damaged.
    """
    if have_predictions(runs):
        found = _with_intervals(runs, images, baseline, confidence)
    elif images is None:
        found = compare_means(runs, baseline)
    else:
        raise ComparisonError(
            "some runs have no predictions for single images: only all images can be compared; "
            "expected images=None"
        )
    return sorted(found, key=lambda c: (c.arm != baseline, c.num_classes, c.arm))


def _with_intervals(
    runs: Sequence[FinishedRun], images: np.ndarray | None, baseline: str, confidence: float
) -> list[ArmComparison]:
    check_same_images(runs)
    measured = _Measured.of(runs, images, baseline)
    found = {
        use: _comparison(use, measured, baseline, confidence)
        for use in measured.wrong
        if use not in measured.same
    }
    changes = _transfer_changes(measured, confidence)
    arms = []
    for arm, of_seed in measured.runs.items():
        transferred, direct = found[arm, TRANSFERRED], found.get((arm, DIRECT))
        if (arm, DIRECT) in measured.same:
            direct = dataclasses.replace(transferred, use=DIRECT, title=f"{arm} ({DIRECT})")
        arms.append(
            ArmComparison(
                transferred,
                direct,
                transfer_change=changes.get(arm),
                argmax_error=argmax_error(of_seed.values()),
                is_always_direct=chose_direct(of_seed.values()),
            )
        )
    return arms


@dataclasses.dataclass(frozen=True, eq=False)
class _Measured:
    """All that is compared; by (arm, use), but for the runs.

    Attributes:
      runs: arm → seed → run.
      wrong: seed → float [N], 1 where the run is wrong.
      errors: over a use's own seeds.
      pairs: tables [S, N] of the use and of the baseline, over the seeds that both have.
      compared: differences, tested.
      same: direct uses that repeat the transferred one.
    """

    runs: Mapping[str, Mapping[int, FinishedRun]]
    wrong: Mapping[Use, Mapping[int, np.ndarray]]
    errors: Mapping[Use, TwoWayMean]
    pairs: Mapping[Use, tuple[np.ndarray, np.ndarray]]
    compared: Mapping[Use, DifferenceTest]
    same: set[Use]

    @classmethod
    def of(cls, runs: Sequence[FinishedRun], images: np.ndarray | None, baseline: str) -> _Measured:
        predictions = _predictions(runs, baseline)
        wrong = {use: _wrong(of_seed, images) for use, of_seed in predictions.items()}
        tables = {use: _stack(rows.values()) for use, rows in wrong.items()}
        pairs = _pairs(wrong, baseline)
        return cls(
            runs=by_arm(runs),
            wrong=wrong,
            errors=_moderate_uses({use: TwoWayMean.of(table) for use, table in tables.items()}),
            pairs=pairs,
            compared=compare_to_baseline(
                {use: ours - theirs for use, (ours, theirs) in pairs.items()}
            ),
            same=repeats(tables),
        )


def _comparison(use: Use, measured: _Measured, baseline: str, confidence: float) -> Comparison:
    of_seed, against = measured.runs[use[0]], measured.compared.get(use)
    difference = against and against.difference
    errors = [row.mean() for row in measured.wrong[use].values()]
    num_tests = against.num_tests if against else 0
    is_baseline = use[0] == baseline
    found = Comparison(
        arm=use[0],
        use=use[1],
        title=use_title(use, of_seed.values(), (use[0], DIRECT) in measured.wrong),
        num_classes=next(iter(of_seed.values())).num_classes,
        num_seeds=len(errors),
        num_pairs=difference.num_seeds if difference else len(errors) * is_baseline,
        error=measured.errors[use].interval(confidence, low=0.0),
        deviation=float(np.std(errors, ddof=1)) if len(errors) > 1 else math.nan,
        difference=difference and difference.interval(confidence),
        relative_change=difference and _change(*measured.pairs[use], difference, confidence),
        p_value=against.p_value if against else math.nan,
        adjusted_p_value=against.adjusted_p_value if against else math.nan,
        verdict="" if is_baseline else _verdict(against, confidence),
    )
    return found.worded(words(found, baseline, num_tests))


@dataclasses.dataclass(frozen=True)
class DifferenceTest:
    """A use's difference to the baseline, tested among others.

    Attributes:
      difference: the use minus the baseline, its variance moderated by the other arms'.
      p_value: of no difference; NaN for one seed.
      adjusted_p_value: after Holm; NaN likewise.
      num_tests: how many p-values were adjusted together.
    """

    difference: TwoWayMean
    p_value: float
    adjusted_p_value: float
    num_tests: int


def compare_to_baseline(differences: Mapping[Use, np.ndarray]) -> dict[Use, DifferenceTest]:
    """Tests every arm in both uses; a direct use that repeats the transferred one counts once.

    Args:
      differences: (arm, use) → its errors minus the baseline's, float [S, N].
    """
    means = _moderate_uses({use: TwoWayMean.of(table) for use, table in differences.items()})
    same = repeats(differences)
    p_values = {use: mean.p_value() for use, mean in means.items() if use not in same}
    adjusted = holm(p_values)
    found = {
        use: DifferenceTest(means[use], p_value, adjusted.get(use, math.nan), len(adjusted))
        for use, p_value in p_values.items()
    }
    return found | {(arm, use): found[arm, TRANSFERRED] for arm, use in same}


def repeats(tables: Mapping[Use, np.ndarray]) -> set[Use]:
    """The direct uses whose tables [S, N] are those of the transferred use of the same arm."""
    return {
        (arm, use)
        for arm, use in tables
        if use == DIRECT and np.array_equal(tables[arm, use], tables[arm, TRANSFERRED])
    }


def _moderate_uses(means: Mapping[Use, TwoWayMean]) -> dict[Use, TwoWayMean]:
    """Variances moderated by other arms in the same use: an arm's two uses vary together."""
    found: dict[Use, TwoWayMean] = {}
    for name in USES:
        found |= moderate({(arm, use): mean for (arm, use), mean in means.items() if use == name})
    return found


def _predictions(
    runs: Sequence[FinishedRun], baseline: str
) -> dict[Use, dict[int, StoredPredictions]]:
    """(arm, use) → seed → predictions; the baseline has one use."""
    found = predictions_in_use(runs, TRANSFERRED, baseline)
    direct = predictions_in_use([run for run in runs if run.arm != baseline], DIRECT, baseline)
    return {(arm, TRANSFERRED): of_seed for arm, of_seed in found.items()} | {
        (arm, DIRECT): of_seed for arm, of_seed in direct.items()
    }


def _wrong(
    of_seed: Mapping[int, StoredPredictions], images: np.ndarray | None
) -> dict[int, np.ndarray]:
    """Seed → float [images looked at], 1 where the model is wrong."""
    chosen = slice(None) if images is None else np.asarray(images, bool)
    wrong = {
        seed: predictions.wrong[chosen].astype(np.float64) for seed, predictions in of_seed.items()
    }
    if any(len(row) < 2 for row in wrong.values()):
        raise ComparisonError("fewer than 2 test images to compare on")
    return wrong


def _stack(rows: Iterable[np.ndarray]) -> np.ndarray:
    return np.stack(list(rows))


def _pairs(
    wrong: Mapping[Use, Mapping[int, np.ndarray]], baseline: str
) -> dict[Use, tuple[np.ndarray, np.ndarray]]:
    """(arm, use) → its table and the baseline's, [S, N] each, over the seeds that both have."""
    theirs = wrong.get((baseline, TRANSFERRED), {})
    found = {use: _shared(rows, theirs) for use, rows in wrong.items() if use[0] != baseline}
    return {use: pair for use, pair in found.items() if pair is not None}


def _shared(
    ours: Mapping[int, np.ndarray], theirs: Mapping[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Both tables [S, N] over the seeds that both have; None without such a seed."""
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        return None
    return _stack(ours[seed] for seed in seeds), _stack(theirs[seed] for seed in seeds)


def _transfer_changes(measured: _Measured, confidence: float) -> dict[str, Interval]:
    """Arm → transferred minus direct error, of the arms whose two uses differ."""
    wrong, tables = measured.wrong, {}
    for arm, use in wrong:
        if use == DIRECT and (arm, use) not in measured.same:
            ours, theirs = _shared(wrong[arm, TRANSFERRED], wrong[arm, DIRECT])
            tables[arm] = ours - theirs
    means = moderate({arm: TwoWayMean.of(table) for arm, table in tables.items()})
    return {arm: mean.interval(confidence) for arm, mean in means.items()}


def _change(
    ours: np.ndarray, base: np.ndarray, difference: TwoWayMean, confidence: float
) -> Interval | None:
    found = ratio(ours, base, difference, confidence)
    return found and Interval(found.estimate - 1, found.low - 1, found.high - 1)


def _verdict(against: DifferenceTest | None, confidence: float) -> str:
    if against is None or math.isnan(against.adjusted_p_value):
        return TOO_FEW_SEEDS
    if against.adjusted_p_value >= 1 - confidence:
        return UNCLEAR
    return LOWER if against.difference.mean < 0 else HIGHER
