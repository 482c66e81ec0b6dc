"""Arms compared where runs kept no answers to single images: means, and no claim beyond them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fine2coarse.experiment import results
from fine2coarse.experiment.intervals import Interval
from fine2coarse.experiment.report import numbers
from fine2coarse.experiment.run_folder import BASELINE
from fine2coarse.experiment.statistics import Comparison

NOTE = (
    "Some runs kept no answers to single images (predictions.npz), as those of early versions: "
    "there are means here, but no intervals and no verdicts, and nothing of easy and hard images."
)


def compare(rows: Sequence[results.Row]) -> list[Comparison]:
    """Each arm's mean error and change, without intervals; the baseline first."""
    summaries = results.summarise(rows)
    baseline = next((s.mean for s in summaries if s.arm == BASELINE), math.nan)
    return [_comparison(summary, baseline) for summary in summaries]


def _comparison(summary: results.ArmSummary, baseline: float) -> Comparison:
    change = summary.relative_change
    percent = numbers.percent(summary.mean)
    return Comparison(
        arm=summary.arm,
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
        sentence=f"{summary.arm}: error {percent} %, {summary.num_seeds} seeds",
    )


def headline(comparisons: Sequence[Comparison]) -> str:
    """Which arm had the least error, and no more."""
    best = min(comparisons, key=lambda c: c.error.estimate)
    return (
        f"Least error: {best.sentence}. Whether that is more than chance cannot be told from "
        "what these runs kept."
    )


def _alone(estimate: float) -> Interval:
    return Interval(estimate, math.nan, math.nan)
