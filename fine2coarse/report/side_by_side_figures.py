"""Pictures of studies side by side: errors and learning curves, a line a study."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fine2coarse.analysis.side_by_side import SideBySide
from fine2coarse.recipes.names import BASELINE
from fine2coarse.report.figures import COLOURS, MARKERS, saved_figure, set_count_axis, set_loss_axis
from fine2coarse.report.learning import Curve
from fine2coarse.report.pictures import (
    WIDE,
    add_legend,
    kind_of,
    legend_inches,
    scale_error,
    ticks_at,
    widen,
)
from fine2coarse.report.points import Point, draw_points, name_points, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = ("-", "--", ":", "-.")
_MOST_ROWS = 400  # of a curve: more than a picture of this width can show
_NUDGE = 0.03  # of its number of classes, between the points of two studies


def _style(study: int) -> dict[str, str]:
    return {
        "color": COLOURS[study % len(COLOURS)],
        "marker": MARKERS[study % len(MARKERS)],
    }


def _dashes(study: int) -> str:
    return _DASHES[study // len(COLOURS) % len(_DASHES)]


def draw_errors(path: pathlib.Path, found: SideBySide, width_inches: float = WIDE) -> None:
    """Error (percent) against number of pretraining classes; each study's baseline as a line.

    Arms of one kind, such as the levels of the taxonomy, are joined.
    """
    height_inches = 3.6 + legend_inches(len(found.names), width_inches, columns=2)
    points = [_points(found, number) for number in range(len(found.names))]
    every = [point for of_study in points for of_kind in of_study.values() for point in of_kind]
    with saved_figure(path, width_inches, height_inches) as axis:
        lows = [point.low for point in every]
        for number, of_study in enumerate(points):
            lows.append(_draw_baseline(axis, found, number))
            for kind, of_kind in of_study.items():
                draw_points(axis, of_kind, {kind: _style(number)}, joined=[kind])
        axis.set_xscale("log")
        axis.set_xlabel("classes in pretraining (log axis)")
        axis.margins(x=0.14)
        if every:
            ticks_at(axis, _whole_classes(found), most=5 if width_inches < WIDE else 7)
            widen(axis, [point.x for point in every])
        scale_error(axis, [low for low in lows if low is not None])
        _add_study_legend(axis, found.names, width_inches)
        name_points(axis, _named(points), others=every)


def _points(found: SideBySide, number: int) -> dict[str, list[Point]]:
    """Kind → a study's arms, each moved a little aside so that studies do not cover each other."""
    specs, points = found.studies[number].recipe["arms"], {}
    middle = (len(found.names) - 1) / 2
    for c in found.comparisons[number]:
        if c.arm == BASELINE:
            continue
        error, kind = c.transferred.error, kind_of(c.arm, specs[c.arm])
        x = c.num_classes * (1 + _NUDGE * (number - middle))
        ends = (100 * value for value in (error.estimate, error.low, error.high))
        points.setdefault(kind, []).append(Point(c.arm, kind, x, *ends))
    return points


def _whole_classes(found: SideBySide) -> list[int]:
    return [c.num_classes for one in found.comparisons for c in one if c.arm != BASELINE]


def _named(points: Sequence[Mapping[str, Sequence[Point]]]) -> list[Point]:
    """One point for each arm's name: the highest, above which there is space."""
    highest: dict[str, Point] = {}
    for of_study in points:
        for point in (point for of_kind in of_study.values() for point in of_kind):
            if point.name not in highest or point.y > highest[point.name].y:
                highest[point.name] = point
    return list(highest.values())


def _draw_baseline(axis: Axes, found: SideBySide, number: int) -> float | None:
    error = next(
        (c.transferred.error for c in found.comparisons[number] if c.arm == BASELINE), None
    )
    if error is None:
        return None
    axis.axhline(100 * error.estimate, color=_style(number)["color"], linestyle="--", linewidth=1.1)
    return 100 * error.estimate


def _add_study_legend(axis: Axes, names: Sequence[str], width_inches: float) -> None:
    """An entry a study, whatever was drawn."""
    for container in axis.containers:
        container.set_label("_")
    for number, name in enumerate(names):
        axis.plot([], [], label=shortened(name), **_style(number))
    add_legend(axis, width_inches)


def draw_curves(
    path: pathlib.Path,
    curves: Mapping[int, Sequence[Curve]],
    names: Sequence[str],
    width_inches: float = WIDE,
) -> None:
    """An arm's training loss against steps, and its validation accuracy where it was measured.

    Args:
      path: of the picture.
      curves: study's number → the arm's phases.
      names: of the studies.
      width_inches: of the picture.
    """
    every = [curve for of_study in curves.values() for curve in of_study]
    panels = ["loss"]
    if any(np.isfinite(curve.accuracy).any() for curve in every):
        panels.append("accuracy")
    height_inches = 2.9 * len(panels) + legend_inches(len(curves), width_inches)
    with saved_figure(path, width_inches, height_inches, nrows=len(panels), squeeze=False) as axes:
        for name, axis in zip(panels, axes[:, 0], strict=True):
            for number, of_study in curves.items():
                for position, curve in enumerate(of_study):
                    label = None if position else shortened(names[number])
                    _draw_curve(axis, curve, name, number, label)
            set_count_axis(axis, "steps", 4 if width_inches < WIDE else 7)
        set_loss_axis(axes[0, 0])
        if len(panels) > 1:
            axes[1, 0].set_ylabel("validation accuracy (%)")
        add_legend(axes[0, 0], width_inches)


def _draw_curve(axis: Axes, curve: Curve, name: str, number: int, label: str | None) -> None:
    values = getattr(curve, name) * (100 if name == "accuracy" else 1)
    measured = np.flatnonzero(np.isfinite(values))
    if len(measured) > _MOST_ROWS:
        measured = measured[np.linspace(0, len(measured) - 1, _MOST_ROWS).astype(int)]
    axis.plot(
        curve.steps[measured],
        values[measured],
        color=_style(number)["color"],
        linestyle=_dashes(number),
        linewidth=1.6,
        marker="." if len(measured) < 3 else None,
        label=label,
    )
