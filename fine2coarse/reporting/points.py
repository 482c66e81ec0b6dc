"""Points with intervals and names, drawn so that no legend is needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fine2coarse.reporting.figures import COLOURS, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL_POINTS = 10  # size of the names, and so the least distance between two of them
_INK = "#1d2329"


@dataclasses.dataclass(frozen=True)
class Point:
    """What is drawn of one arm.

    Attributes:
      name: written beside it.
      kind: points of one kind share colour and marker.
      x: place on the horizontal axis.
      y: its height.
      low: lower end of its interval.
      high: upper end.
    """

    name: str
    kind: str
    x: float
    y: float
    low: float
    high: float


def styles(kinds: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    """Kind → colour and marker, in the order given."""
    distinct = list(dict.fromkeys(kinds))
    return {
        kind: {"color": COLOURS[n % len(COLOURS)], "marker": MARKERS[n % len(MARKERS)]}
        for n, kind in enumerate(distinct)
    }


def draw_points(
    axis: Axes,
    points: Sequence[Point],
    style: Mapping[str, Mapping[str, str]],
    joined: Sequence[str] = (),
) -> None:
    """Draws points with their intervals; those of a kind in `joined` with a line through them."""
    for kind in dict.fromkeys(point.kind for point in points):
        members = sorted((p for p in points if p.kind == kind), key=lambda p: p.x)
        axis.errorbar(
            [p.x for p in members],
            [p.y for p in members],
            yerr=[
                [max(p.y - p.low, 0) for p in members],  # NaN where the interval is not known
                [max(p.high - p.y, 0) for p in members],
            ],
            label=kind,
            markersize=7,
            capsize=3,
            elinewidth=1.3,
            linewidth=1.5,
            linestyle="-" if kind in joined and len(members) > 1 else "none",
            **style[kind],
        )


def name_points(axis: Axes, points: Sequence[Point]) -> None:
    """Writes each point's name to its right, apart from the others'; call when limits are set."""
    figure = axis.figure
    figure.draw_without_rendering()
    pixel = figure.dpi / 72
    places = axis.transData.transform([(p.x, p.y) for p in points])
    box = axis.get_window_extent()
    taken: list[tuple[float, float, float]] = []
    order = sorted(range(len(points)), key=lambda n: -places[n][1])
    for n in order:
        point, (x, y) = points[n], places[n]
        width = 0.62 * _LABEL_POINTS * pixel * len(point.name)
        to_left = x + 9 * pixel + width > box.x1
        start = x - 9 * pixel - width if to_left else x + 9 * pixel
        height = _free_height(taken, start, start + width, y, _LABEL_POINTS * 1.25 * pixel)
        taken.append((start, start + width, height))
        axis.annotate(
            point.name,
            (point.x, point.y),
            textcoords="offset points",
            xytext=(-9 if to_left else 9, (height - y) / pixel),
            ha="right" if to_left else "left",
            va="center",
            fontsize=_LABEL_POINTS,
            color=_INK,
        )


def _free_height(
    taken: Sequence[tuple[float, float, float]],
    start: float,
    end: float,
    height: float,
    distance: float,
) -> float:
    """The height nearest to the one wished for at which a name meets no other."""
    rivals = [h for left, right, h in taken if left < end and start < right]
    wished = [height, *(h + sign * distance for h in rivals for sign in (-1, 1))]
    free = [w for w in wished if all(abs(w - h) >= distance * 0.999 for h in rivals)]
    return min(free, key=lambda w: abs(w - height))
