"""The pictures of a study: error against granularity, error against cost, gains."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fine2coarse import formats
from fine2coarse.recipes.names import BASELINE
from fine2coarse.report.figures import saved_figure
from fine2coarse.report.points import BLACK, CROSS, Point, draw_points, name_points, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fine2coarse.analysis.comparison import Comparison

LEVELS = "taxonomy level"
WIDE, NARROW = 5.4, 3.9  # inches; the narrow one is for telephones, where letters stay as large
_LEGEND_POINTS = 9
_ZOOM_SHARE = 0.4
_NARROW_SPAN = 2.0


@dataclasses.dataclass(frozen=True)
class Band:
    """The baseline: its error and interval, in percent."""

    name: str
    middle: float
    low: float
    high: float


def kind_of(arm: str, spec: Mapping[str, Any]) -> str:
    """The series an arm is drawn in: levels share one, and so do clusters and random ids."""
    options = spec.get("options") or {}
    changed = [k for k, v in spec.items() if k not in ("source", "options") and v]
    suffix = ", other steps" if changed else ""
    aligned = options.get("aligned", True)
    if spec["source"] == "level":
        return LEVELS + suffix
    if spec["source"] == "clusters":
        return f"clusters {'within the target' if aligned else 'of the whole set'}{suffix}"
    if spec["source"] == "random":
        return f"random, {'aligned' if aligned else 'unaligned'}{suffix}"
    return spec["source"].replace("_", " ") + suffix


def point(found: Comparison, kind: str, x: float, is_light: bool = False) -> Point:
    """An arm in one use, in percent."""
    middle, low, high = (100 * v for v in (found.error.estimate, found.error.low, found.error.high))
    return Point(found.arm, kind, x, middle, low, high, is_light)


def draw_granularity(
    path: pathlib.Path,
    points: Sequence[Point],
    baseline: Band | None,
    width_inches: float = WIDE,
) -> None:
    """Error (percent) against number of pretraining classes, with intervals.

    Light points stand a little to the left, and have no names.
    """
    style = _styles(points)
    num_entries = len(style) + any(p.is_light for p in points)
    height_inches = 3.4 + legend_inches(num_entries, width_inches)
    with saved_figure(path, width_inches, height_inches) as axis:
        if baseline is not None:
            _draw_band(axis, baseline)
        draw_points(axis, points, style, joined=[LEVELS])
        named = [p for p in points if not p.is_light]
        if len(named) < len(points):
            _explain_light(axis)
        axis.set_xscale("log")
        ticks_at(axis, [p.x for p in named], most=5 if width_inches < WIDE else 7)
        axis.set_xlabel("classes in pretraining (log axis)")
        axis.margins(x=0.14)
        widen(axis, [p.x for p in named])
        scale_error(axis, [p.low for p in points] + ([baseline.low] if baseline else []))
        add_legend(axis, width_inches)
        name_points(axis, named, _lines(axis, named, baseline), others=points)


def widen(axis: Axes, values: Sequence[float]) -> None:
    """Widens a log axis where all points have about as many classes."""
    if values and max(values) / min(values) < _NARROW_SPAN:
        axis.set_xlim(min(values) / _NARROW_SPAN, max(values) * _NARROW_SPAN)


def _lines(
    axis: Axes, points: Sequence[Point], baseline: Band | None
) -> list[list[tuple[float, float]]]:
    """What is drawn besides the points: the line through the levels, and the baseline's."""
    lines = [sorted((p.x, p.y) for p in points if p.kind == LEVELS)]
    if baseline is not None:
        lines.append([(x, baseline.middle) for x in axis.get_xlim()])
    return [line for line in lines if len(line) > 1]


def _styles(points: Sequence[Point]) -> Mapping[str, Mapping[str, str]]:
    """The same colours in every picture: levels first, the baseline in black."""
    kinds = {point.kind for point in points} - {BASELINE}
    found = dict(styles(sorted(kinds, key=lambda kind: (kind != LEVELS, kind))))
    return found | {BASELINE: {"color": BLACK, "marker": CROSS}}


def add_legend(axis: Axes, width_inches: float, columns: int = 2) -> None:
    """The kinds of an axis above its figure; one column fewer where it is narrow."""
    handles, labels = axis.get_legend_handles_labels()
    axis.figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=columns - (width_inches < WIDE),
        fontsize=_LEGEND_POINTS,
    )


def legend_inches(entries: int, width_inches: float, columns: int = 2) -> float:
    """Height that `add_legend` takes."""
    rows = -(-entries // (columns - (width_inches < WIDE)))
    return rows * 1.5 * _LEGEND_POINTS / 72 + 0.15


def _explain_light(axis: Axes) -> None:
    """An entry of the legend for the light points."""
    axis.plot(
        [],
        [],
        color=BLACK,
        marker="o",
        markersize=7,
        markerfacecolor="white",
        alpha=0.55,
        linestyle="none",
        label="hollow: pretrained model used directly",
    )


def _draw_band(axis: Axes, band: Band) -> None:
    axis.axhline(
        band.middle,
        color=BLACK,
        linestyle="--",
        linewidth=1.2,
        label=f"{band.name}, no other labels",
    )
    axis.axhspan(band.low, band.high, color=BLACK, alpha=0.08, linewidth=0)


def ticks_at(axis: Axes, values: Sequence[float], most: int) -> None:
    """Ticks where there are points, as long as they do not run into each other."""
    kept: list[float] = []
    distinct = sorted(set(values))
    span = max(distinct) / min(distinct) if distinct else 1.0
    for value in distinct:
        if not kept or value / kept[-1] >= max(span ** (1 / most), 1.05):
            kept.append(value)
    axis.set_xticks(kept, [f"{value:,.0f}" for value in kept])
    axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)


@dataclasses.dataclass(frozen=True)
class Panel:
    """One cost on a horizontal axis: points with their error, and what the axis is called."""

    label: str
    points: Sequence[Point]


def draw_cost(path: pathlib.Path, panels: Sequence[Panel], width_inches: float = WIDE) -> None:
    """Error (percent) against cost, a panel for each kind of cost."""
    style = _styles([point for panel in panels for point in panel.points])
    height_inches = 3.2 * len(panels) + legend_inches(len(style), width_inches)
    with saved_figure(path, width_inches, height_inches, nrows=len(panels), squeeze=False) as axes:
        for panel, axis in zip(panels, axes[:, 0]):
            draw_points(axis, panel.points, style)
            _scale_cost(axis, [p.x for p in panel.points])
            axis.set_xlabel(panel.label)
            axis.xaxis.set_major_formatter(lambda value, _: formats.count(value).strip())
            scale_error(axis, [p.low for p in panel.points])
        add_legend(axes[0, 0], width_inches)
        for panel, axis in zip(panels, axes[:, 0]):
            name_points(axis, panel.points)


def scale_error(axis: Axes, lows: Sequence[float]) -> None:
    """From zero, unless all errors lie in the upper part of such an axis: then it says so."""
    axis.margins(y=0.12)
    known = [low for low in lows if not math.isnan(low)]
    if known and min(known) > _ZOOM_SHARE * axis.dataLim.ymax:
        axis.set_ylabel("top-1 error, % (not from 0)")
    else:
        axis.set_ylabel("top-1 error on the target (%)")
        # A little below zero, so that a point there and its name stand clear of the axis.
        axis.set_ylim(bottom=-0.03 * axis.dataLim.ymax)


def _scale_cost(axis: Axes, values: Sequence[float]) -> None:
    """From zero; on a log axis where costs differ tenfold."""
    if min(values) > 0 and max(values) / min(values) > 10:
        axis.set_xscale("log")
        axis.margins(x=0.14)
    else:
        axis.set_xlim(0, max(values) * 1.18 or 1)
