"""The main result: the curve, the table, and each arm in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fine2coarse.experiment.report import numbers
from fine2coarse.experiment.report.pictures import Band, kind_of
from fine2coarse.experiment.run_folder import BASELINE
from fine2coarse.reporting.points import Point
from fine2coarse.reporting.tables import Table

if TYPE_CHECKING:
    from fine2coarse.experiment.statistics import Comparison


def best_arm(comparisons: Sequence[Comparison]) -> str | None:
    """The arm of least error, apart from the baseline; None where there is no other."""
    others = [c for c in comparisons if c.arm != BASELINE]
    return min(others, key=lambda c: c.error.estimate).arm if others else None


def curve(
    comparisons: Sequence[Comparison], arms: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Point], Band | None]:
    """Points of the arms and the baseline's band, in percent."""
    points, band = [], None
    for c in comparisons:
        middle, low, high = (100 * v for v in (c.error.estimate, c.error.low, c.error.high))
        if c.arm == BASELINE:
            band = Band(f"baseline ({c.num_classes:,} classes)", middle, low, high)
        else:
            kind = kind_of(c.arm, arms[c.arm])
            points.append(Point(c.arm, kind, c.num_classes, middle, low, high))
    return points, band


def table(comparisons: Sequence[Comparison]) -> Table:
    """A row an arm, the baseline first."""
    best = best_arm(comparisons)
    beats = {c.arm for c in comparisons if c.verdict == "lower"}
    marks = {BASELINE: "baseline", **({best: "best"} if best in beats else {})}
    return Table(
        name="table",
        caption="Error: mean over seeds. SD: standard deviation over seeds. Difference: arm minus "
        "baseline, in percentage points, over the seeds that both have. Change: the same, "
        "relative to the baseline's error. In brackets: 95 % intervals, over other seeds and other "
        "test images. p: of the difference, corrected for the number of arms (Holm); the verdict "
        "on the error goes by it.",
        columns=[
            "arm",
            "classes",
            "seeds",
            "error %",
            "SD",
            "difference",
            "change %",
            "p",
            "verdict",
        ],
        cells=[_cells(c) for c in comparisons],
        records=[_record(c) for c in comparisons],
        row_classes=[marks.get(c.arm, "") for c in comparisons],
        text_columns=(8,),
    )


def _cells(c: Comparison) -> list[str]:
    return [
        c.arm,
        f"{c.num_classes:,}",
        str(c.num_seeds),
        numbers.interval(c.error),
        "" if math.isnan(c.deviation) else numbers.percent(c.deviation, 2),
        "" if c.difference is None else numbers.interval(c.difference, signed=True),
        "" if c.relative_change is None else numbers.interval(c.relative_change, signed=True),
        numbers.p_value(c.adjusted_p_value),
        c.verdict,
    ]


def _record(c: Comparison) -> dict[str, object]:
    record: dict[str, object] = {
        "arm": c.arm,
        "num_classes": c.num_classes,
        "num_seeds": c.num_seeds,
    }
    for name in ("error", "difference", "relative_change"):
        value = getattr(c, name)
        for suffix, end in (("", "estimate"), ("_low", "low"), ("_high", "high")):
            record[name + suffix] = "" if value is None else _known(getattr(value, end))
    return record | {
        "error_deviation": _known(c.deviation),
        "p_value": _known(c.p_value),
        "adjusted_p_value": _known(c.adjusted_p_value),
        "verdict": c.verdict,
    }


def _known(value: float) -> float | str:
    """A number, or nothing in the place of one that could not be told."""
    return "" if math.isnan(value) else value
