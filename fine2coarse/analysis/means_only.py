"""Arms compared where runs kept no answers to single images: means, and no claim beyond them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fine2coarse import formats
from fine2coarse.analysis import results
from fine2coarse.analysis.comparison import ArmComparison, Comparison
from fine2coarse.analysis.intervals import Interval
from fine2coarse.analysis.outcomes import DIRECT, TRANSFERRED
from fine2coarse.recipes.names import BASELINE

NOTE = (
    "Some runs kept no answers to single images (predictions.npz), as those of early versions: "
    "there are means here, but no intervals and no verdicts, and nothing of easy and hard images."
)


def compare(rows: Sequence[results.Row]) -> list[ArmComparison]:
    """Each arm's mean error and change in both uses, without intervals; the baseline first."""
    summaries = results.summarise(rows)
    direct = {summary.arm: summary for summary in results.summarise(rows, "direct")}
    argmax = {summary.arm: summary.mean for summary in results.summarise(rows, "direct_argmax")}
    baseline = next((s.mean for s in summaries if s.arm == BASELINE), math.nan)
    found = []
    for summary in summaries:
        arm, transferred = summary.arm, _comparison(summary, baseline, TRANSFERRED)
        if arm not in direct:
            found.append(ArmComparison(transferred))
            continue
        other = _comparison(direct[arm], baseline, DIRECT)
        change = _alone(transferred.error.estimate - other.error.estimate)
        found.append(ArmComparison(transferred, other, change, argmax.get(arm)))
    return found


def _comparison(summary: results.ArmSummary, baseline: float, use: str) -> Comparison:
    change = summary.relative_change
    percent = formats.percent(summary.mean)
    return Comparison(
        arm=summary.arm,
        use=use,
        title=f"{summary.arm} (direct)" if use == DIRECT else summary.arm,
        num_classes=summary.num_classes,
        num_seeds=summary.num_seeds,
        num_pairs=summary.num_seeds,
        error=_alone(summary.mean),
        deviation=summary.deviation if summary.num_seeds > 1 else math.nan,
        difference=None if change is None else _alone(summary.mean - baseline),
        relative_change=None if change is None else _alone(change),
        p_value=math.nan,
        adjusted_p_value=math.nan,
        verdict="",
        words=f"error {percent} %, {summary.num_seeds} seeds",
    )


def headline(comparisons: Sequence[ArmComparison]) -> str:
    """Which arm had the least error in its better use, and no more."""
    best = min((c.better for c in comparisons), key=lambda use: use.error.estimate)
    return (
        f"Least error: {best.sentence}. Whether that is more than chance cannot be told from "
        "what these runs kept."
    )


def _alone(estimate: float) -> Interval:
    return Interval(estimate, math.nan, math.nan)
