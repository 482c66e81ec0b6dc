"""Each arm against the baseline: means, intervals, verdicts, and the sentences that say them.

Runs of one seed are paired across arms, and all runs are tested on the same images: the difference
to the baseline is taken seed by seed and image by image. How its interval and p-value come about,
and why by this method, is told in `intervals.py`. Verdicts go by p-values adjusted for the number
of arms; intervals are not adjusted.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from fine2coarse.experiment.intervals import Interval, TwoWayMean, holm, moderate, ratio
from fine2coarse.experiment.outcomes import Outcome, OutcomeError, by_arm, check_same_images
from fine2coarse.experiment.run_folder import BASELINE

CONFIDENCE = 0.95
LOWER, HIGHER, UNCLEAR, TOO_FEW_SEEDS = "lower", "higher", "unclear", "too few seeds"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """An arm over its seeds, and against the baseline over the seeds that both have.

    Errors and changes are fractions, not percent.

    Attributes:
      arm: its name.
      num_classes: of its label space.
      num_seeds: its runs.
      num_pairs: seeds that it shares with the baseline; all of the baseline's for itself.
      error: mean over its seeds.
      deviation: standard deviation of the error over its seeds (n - 1); NaN for one seed.
      difference: arm minus baseline; None for the baseline and where no seed is shared.
      relative_change: arm over baseline, minus one; None like `difference`, and where the
        baseline makes no error.
      p_value: of no difference; NaN where it cannot be told.
      adjusted_p_value: after Holm, over the arms that have a p-value; NaN likewise.
      verdict: 'lower', 'higher', 'unclear' or 'too few seeds'; '' for the baseline.
      sentence: all of it in words.
    """

    arm: str
    num_classes: int
    num_seeds: int
    num_pairs: int
    error: Interval
    deviation: float
    difference: Interval | None
    relative_change: Interval | None
    p_value: float
    adjusted_p_value: float
    verdict: str
    sentence: str = ""


def compare(
    outcomes: Sequence[Outcome],
    *,
    images: np.ndarray | None = None,
    baseline: str = BASELINE,
    confidence: float = CONFIDENCE,
) -> list[Comparison]:
    """Each arm over its seeds and against the baseline.

    Args:
      outcomes: runs tested on the same images; arms may lack some of the seeds.
      images: bool [N], the test images to look at; None for all.
      baseline: the arm that the others are compared with.
      confidence: of the intervals, and one minus the error rate of the verdicts.

    Returns:
      The baseline first (where there is one), then the arms by their number of classes.

    Raises:
      OutcomeError: where runs were tested on different images, or fewer than 2 are looked at.
    """
    check_same_images(outcomes)
    arms = by_arm(outcomes)
    wrong = {arm: _tables(of_seed, images) for arm, of_seed in arms.items()}
    errors = moderate({arm: TwoWayMean.of(_stack(wrong[arm].values())) for arm in arms})
    pairs = _pairs(wrong, baseline)
    differences = moderate({arm: TwoWayMean.of(ours - base) for arm, (ours, base) in pairs.items()})
    p_values = {arm: difference.p_value() for arm, difference in differences.items()}
    adjusted = holm(p_values)
    found = []
    for arm, of_seed in arms.items():
        means = [table.mean() for table in wrong[arm].values()]
        difference = differences.get(arm)
        seeds_shared = difference.num_seeds if difference else 0
        found.append(
            Comparison(
                arm=arm,
                num_classes=next(iter(of_seed.values())).num_classes,
                num_seeds=len(of_seed),
                num_pairs=len(of_seed) if arm == baseline else seeds_shared,
                error=errors[arm].interval(confidence, low=0.0),
                deviation=float(np.std(means, ddof=1)) if len(means) > 1 else math.nan,
                difference=difference and difference.interval(confidence),
                relative_change=difference and _change(*pairs[arm], difference, confidence),
                p_value=p_values.get(arm, math.nan),
                adjusted_p_value=adjusted.get(arm, math.nan),
                verdict=""
                if arm == baseline
                else _verdict(difference, adjusted.get(arm), confidence),
            )
        )
    found.sort(key=lambda c: (c.arm != baseline, c.num_classes, c.arm))
    return [dataclasses.replace(c, sentence=_sentence(c, baseline, len(adjusted))) for c in found]


def _tables(of_seed: Mapping[int, Outcome], images: np.ndarray | None) -> dict[int, np.ndarray]:
    """Seed → float [images looked at], 1 where the run is wrong."""
    chosen = slice(None) if images is None else np.asarray(images, bool)
    wrong = {seed: outcome.wrong[chosen].astype(np.float64) for seed, outcome in of_seed.items()}
    if any(len(row) < 2 for row in wrong.values()):
        raise OutcomeError("fewer than 2 test images to compare on")
    return wrong


def _stack(rows: Iterable[np.ndarray]) -> np.ndarray:
    return np.stack(list(rows))


def _pairs(
    wrong: Mapping[str, Mapping[int, np.ndarray]], baseline: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Arm → its table and the baseline's, [S, N] each, over the seeds that both have."""
    pairs = {}
    for arm, rows in wrong.items():
        shared = [seed for seed in rows if seed in wrong.get(baseline, {})]
        if arm != baseline and shared:
            theirs = _stack(wrong[baseline][seed] for seed in shared)
            pairs[arm] = (_stack(rows[seed] for seed in shared), theirs)
    return pairs


def _change(
    ours: np.ndarray, base: np.ndarray, difference: TwoWayMean, confidence: float
) -> Interval | None:
    found = ratio(ours, base, difference, confidence)
    return found and Interval(found.estimate - 1, found.low - 1, found.high - 1)


def _verdict(
    difference: TwoWayMean | None, adjusted_p_value: float | None, confidence: float
) -> str:
    if difference is None or adjusted_p_value is None:
        return TOO_FEW_SEEDS
    if adjusted_p_value >= 1 - confidence:
        return UNCLEAR
    return LOWER if difference.mean < 0 else HIGHER


def _sentence(found: Comparison, baseline: str, num_compared: int) -> str:
    if found.arm == baseline:
        return f"{found.arm}: error {percent(found.error)} %, {count(found.num_seeds, 'seed')}"
    if found.difference is None:
        return (
            f"{found.arm}: error {percent(found.error)} %; no seed in common with the {baseline}, "
            "so nothing to compare"
        )
    text = f"{found.arm}: {change_in_words(found, baseline)}, {count(found.num_pairs, 'seed')}"
    if found.num_pairs < found.num_seeds:
        text += f" shared of {found.num_seeds}"
    return text + _reservation(found, num_compared)


def _reservation(found: Comparison, num_compared: int) -> str:
    """What keeps the sentence from being a verdict, if anything does."""
    if found.verdict == TOO_FEW_SEEDS:
        return "; one seed cannot tell: no measure of how runs vary. Use 3 or more"
    if found.verdict != UNCLEAR:
        return ""
    if found.difference.excludes_zero:
        return f"; not certain once corrected for {num_compared} arms compared"
    few = "; two seeds show little, use 3 or more" if found.num_pairs == 2 else ""
    return f"; not told apart from the baseline{few}"


def change_in_words(found: Comparison, baseline: str = BASELINE) -> str:
    """For example `error 8.1% lower than the baseline [5.2, 11.0]`."""
    change, unit = found.relative_change, "%"
    if change is None or math.isinf(change.high):
        change, unit = found.difference, " percentage points"
    if change.estimate == 0:
        return f"error as high as the {baseline}'s{_bounds(change)}"
    side = "lower" if change.estimate < 0 else "higher"
    shown = change.flipped if change.estimate < 0 else change
    return (
        f"error {100 * shown.estimate:.1f}{unit} {side} than the {baseline}{_bounds(shown, side)}"
    )


def _bounds(interval: Interval, side: str = HIGHER) -> str:
    if not interval.is_known:
        return ""
    if interval.excludes_zero:
        return f" [{percent_bounds(interval)}]"
    other = LOWER if side == HIGHER else HIGHER
    return f" [{-100 * interval.low:.1f} {other} to {100 * interval.high:.1f} {side}]"


def percent_bounds(interval: Interval, digits: int = 1) -> str:
    """For example `5.2, 11.0`: the ends in percent."""
    return f"{100 * interval.low:.{digits}f}, {100 * interval.high:.{digits}f}"


def percent(interval: Interval, digits: int = 2) -> str:
    """For example `35.93 [30.10, 41.76]`; without the brackets where there are no bounds."""
    estimate = f"{100 * interval.estimate:.{digits}f}"
    return f"{estimate} [{percent_bounds(interval, digits)}]" if interval.is_known else estimate


def count(number: int, noun: str) -> str:
    """For example `1 seed`, `3 seeds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def headline(comparisons: Sequence[Comparison]) -> str:
    """The study's answer in one or two sentences."""
    arms = [c for c in comparisons if c.verdict and c.difference is not None]
    if not arms:
        return "There is nothing to compare yet."
    lower = sorted((c for c in arms if c.verdict == LOWER), key=lambda c: c.error.estimate)
    best = min(arms, key=lambda c: c.difference.estimate)
    if lower:
        best = lower[0]
        also = ", ".join(c.arm for c in lower[1:])
        return f"{best.arm} ({best.num_classes:,} classes) beat the baseline: " + (
            f"{_after_name(best)}."
            + (f" So did {also}; these arms are not tested against each other." if also else "")
        )
    if all(c.verdict == TOO_FEW_SEEDS for c in arms):
        return f"Too few seeds to tell. Seen: {best.sentence}."
    if all(c.verdict == HIGHER for c in arms):
        return (
            f"No label space beat the baseline: all {len(arms)} did worse. Best: {best.sentence}."
        )
    return f"No label space certainly beat the baseline. Nearest: {best.sentence}."


def _after_name(found: Comparison) -> str:
    return found.sentence.removeprefix(f"{found.arm}: ")
