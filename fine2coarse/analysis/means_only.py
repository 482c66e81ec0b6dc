"""Arms compared where runs kept no predictions for single images: by their means alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from fine2coarse.analysis.comparison import ArmComparison, Comparison
from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.analysis.intervals import Interval
from fine2coarse.analysis.sentences import words
from fine2coarse.analysis.uses import (
    TRANSFERRED,
    argmax_error,
    by_arm,
    chose_direct,
    use_title,
)
from fine2coarse.recipes.names import DIRECT

_Errors = Mapping[int, float]  # of a seed; fractions


def compare_means(runs: Sequence[FinishedRun], baseline: str) -> list[ArmComparison]:
    """Each arm's mean error and change in both uses, without intervals and verdicts.

    Raises:
      ComparisonError: where an arm has two runs of one seed.
    """
    arms = by_arm(runs)
    theirs = _errors(arms.get(baseline, {}), "all")
    return [_of_arm(arm, of_seed, theirs, baseline) for arm, of_seed in arms.items()]


def _of_arm(
    arm: str, runs: Mapping[int, FinishedRun], theirs: _Errors, baseline: str
) -> ArmComparison:
    errors = _errors(runs, "all")
    direct = {} if arm == baseline else _errors(runs, "direct")
    transferred = _comparison((arm, TRANSFERRED), runs, errors, theirs, baseline, bool(direct))
    if not direct:
        return ArmComparison(transferred)
    shared = [seed for seed in errors if seed in direct]
    is_same = all(errors[seed] == direct[seed] for seed in shared)
    change = statistics.fmean(errors[seed] - direct[seed] for seed in shared)
    return ArmComparison(
        transferred,
        _comparison((arm, DIRECT), runs, direct, theirs, baseline, has_direct=True),
        transfer_change=None if is_same else _alone(change),
        argmax_error=argmax_error(runs.values()),
        is_always_direct=chose_direct(runs.values()),
    )


def _errors(runs: Mapping[int, FinishedRun], which: str) -> dict[int, float]:
    errors = {seed: run.row.error(which) for seed, run in runs.items()}
    return {seed: error for seed, error in errors.items() if error is not None}


def _comparison(
    use: tuple[str, str],
    runs: Mapping[int, FinishedRun],
    errors: _Errors,
    theirs: _Errors,
    baseline: str,
    has_direct: bool,
) -> Comparison:
    shared = [] if use[0] == baseline else [seed for seed in errors if seed in theirs]
    ours = statistics.fmean(errors[seed] for seed in shared) if shared else math.nan
    base = statistics.fmean(theirs[seed] for seed in shared) if shared else math.nan
    found = Comparison(
        arm=use[0],
        use=use[1],
        title=use_title(use, runs.values(), has_direct),
        num_classes=next(iter(runs.values())).num_classes,
        num_seeds=len(errors),
        num_pairs=len(errors) if use[0] == baseline else len(shared),
        error=_alone(statistics.fmean(errors.values())),
        deviation=statistics.stdev(errors.values()) if len(errors) > 1 else math.nan,
        difference=_alone(ours - base) if shared else None,
        relative_change=_alone(ours / base - 1) if shared and base else None,
        p_value=math.nan,
        adjusted_p_value=math.nan,
        verdict="",
    )
    return found.worded(words(found, baseline, num_tests=0))


def _alone(estimate: float) -> Interval:
    return Interval(estimate, math.nan, math.nan)
