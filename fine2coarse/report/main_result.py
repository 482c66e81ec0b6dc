"""The main result: the curve, the table, and a sentence on each arm."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fine2coarse import formats
from fine2coarse.recipes.names import BASELINE, DIRECT
from fine2coarse.report.pictures import Band, kind_of, point
from fine2coarse.report.points import Point
from fine2coarse.report.tables import Table, cell, interval_columns

if TYPE_CHECKING:
    from fine2coarse.analysis.comparison import ArmComparison, Comparison
    from fine2coarse.analysis.intervals import Interval

_LEFT = 0.93  # of its number of classes: where the direct use stands beside the transferred one
_ONE_USE = (
    "Error: mean over seeds. SD: standard deviation over seeds. Difference: arm minus baseline, in "
    "percentage points, over the seeds that both have. Change: the same, relative to the "
    "baseline's error. In brackets: 95 % intervals, over other seeds and other test images. p: of "
    "the difference, corrected for the number of arms (Holm); the verdict on the error goes by it."
)
_TWO_USES = (
    "Direct: the pretrained model as it is, the probabilities of its classes summed into the "
    "target's. Transferred: after the transfer. Error, change (relative to the baseline's error), "
    "p and verdict: of the better use, which is named; where transferred and direct are the same "
    "model in every seed, it is direct. In brackets: 95 % intervals, over other seeds and other "
    "test images. p: of the difference to the baseline, corrected for the number of arms and uses "
    "(Holm); the verdict goes by it. By transfer: transferred minus direct, in percentage points. "
    "Argmax: direct, by the largest class alone. SD: standard deviation over seeds."
)


def best_arm(comparisons: Sequence[ArmComparison]) -> Comparison | None:
    """The arm of least error in its better use, apart from the baseline; None without another."""
    others = [c.better for c in comparisons if c.arm != BASELINE]
    return min(others, key=lambda use: use.error.estimate) if others else None


def curve(
    comparisons: Sequence[ArmComparison], arms: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Point], Band | None]:
    """Points of the arms, light ones of the direct use, and the baseline's band, in percent."""
    points, band = [], None
    for c in comparisons:
        if c.arm == BASELINE:
            found = point(c.transferred, BASELINE, 0)
            name = f"baseline ({c.num_classes:,} classes)"
            band = Band(name, found.y, found.low, found.high)
            continue
        kind = kind_of(c.arm, arms[c.arm])
        points.append(point(c.transferred, kind, c.num_classes))
        if len(c.uses) > 1:
            points.append(point(c.direct, kind, _LEFT * c.num_classes, is_light=True))
    return points, band


def table(comparisons: Sequence[ArmComparison], transfers: Mapping[str, str]) -> Table:
    """A row an arm, the baseline first.

    Args:
      comparisons: of all arms.
      transfers: arm → the names of the transfers that were chosen.
    """
    two = any(c.direct is not None for c in comparisons)
    columns = _two_uses(comparisons) if two else _one_use()
    best = best_arm(comparisons)
    beats = {c.arm for c in comparisons if c.better.verdict == "lower"}
    marks = {BASELINE: "baseline", **({best.arm: "best"} if best and best.arm in beats else {})}
    words = {"verdict", "use"}
    return Table(
        name="table",
        caption=_TWO_USES if two else _ONE_USE,
        columns=list(columns),
        cells=[[write(c) for write in columns.values()] for c in comparisons],
        records=[_record(c, transfers.get(c.arm, "")) for c in comparisons],
        row_classes=[marks.get(c.arm, "") for c in comparisons],
        text_columns=tuple(n for n, name in enumerate(columns) if name in words),
    )


_Columns = Mapping[str, Callable[["ArmComparison"], str]]


def _one_use() -> _Columns:
    return {
        "arm": lambda c: c.arm,
        "classes": lambda c: f"{c.num_classes:,}",
        "seeds": lambda c: str(c.transferred.num_seeds),
        "error %": lambda c: formats.interval(c.transferred.error),
        "SD": lambda c: _deviation(c.transferred),
        "difference": lambda c: _signed(c.transferred.difference),
        "change %": lambda c: _signed(c.transferred.relative_change),
        "p": lambda c: formats.p_value(c.transferred.adjusted_p_value),
        "verdict": lambda c: c.transferred.verdict,
    }


def _two_uses(comparisons: Sequence[ArmComparison]) -> _Columns:
    columns: dict[str, Callable[[ArmComparison], str]] = {
        "arm": lambda c: c.arm,
        "classes": lambda c: f"{c.num_classes:,}",
        "error %": lambda c: formats.interval(c.better.error),
        "use": lambda c: "" if c.direct is None else c.better.use,
        "change %": lambda c: _signed(c.better.relative_change),
        "p": lambda c: formats.p_value(c.better.adjusted_p_value),
        "verdict": lambda c: c.better.verdict,
        "direct error %": lambda c: "" if c.direct is None else formats.interval(c.direct.error),
        "transferred error %": lambda c: (
            "" if c.arm == BASELINE else formats.interval(c.transferred.error)
        ),
        "by transfer": lambda c: _signed(c.transfer_change),
    }
    if any(c.argmax_error is not None for c in comparisons):
        columns["argmax error %"] = lambda c: (
            "" if c.argmax_error is None else formats.percent(c.argmax_error)
        )
    return columns | {
        "SD": lambda c: _deviation(c.better),
        "seeds": lambda c: str(c.better.num_seeds),
    }


def _signed(value: Interval | None) -> str:
    return "" if value is None else formats.interval(value, signed=True)


def _deviation(use: Comparison) -> str:
    return "" if math.isnan(use.deviation) else formats.percent(use.deviation, 2)


def _record(c: ArmComparison, transfers: str) -> dict[str, object]:
    return {
        "arm": c.arm,
        "num_classes": c.num_classes,
        **_of_use(c.transferred, ""),
        "transfers": transfers,
        "better_use": "" if c.direct is None else c.better.use,
        **_of_use(c.direct, f"{DIRECT}_"),
        "direct_argmax_error": "" if c.argmax_error is None else c.argmax_error,
        **interval_columns("transfer_change", c.transfer_change),
    }


def _of_use(use: Comparison | None, prefix: str) -> dict[str, object]:
    """All numbers of a use; empty ones where there is none."""
    found: dict[str, object] = {f"{prefix}num_seeds": "" if use is None else use.num_seeds}
    for name in ("error", "difference", "relative_change"):
        found |= interval_columns(prefix + name, use and getattr(use, name))
    return found | {
        f"{prefix}error_deviation": cell(use and use.deviation),
        f"{prefix}p_value": cell(use and use.p_value),
        f"{prefix}adjusted_p_value": cell(use and use.adjusted_p_value),
        f"{prefix}verdict": use.verdict if use else "",
    }
