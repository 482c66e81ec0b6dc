"""Points with intervals and names, drawn so that no legend is needed."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fine2coarse.report.figures import COLOURS, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAME_POINTS, _GAP_POINTS = 10, 9  # size of the names, and how far from their points
_Box = tuple[float, float, float, float]  # left, right, bottom, top
BLACK, CROSS = "#000000", "X"
_MAX_LETTERS = 22
_LEADER = {"arrowstyle": "-", "color": "#8a949d", "linewidth": 0.7, "shrinkA": 0, "shrinkB": 4}
_PARTS_OF_A_LINE = 60
_INK = "#1d2329"
_FULL = {"capsize": 3, "elinewidth": 1.3, "linewidth": 1.5, "zorder": 3}
_LIGHT = {"capsize": 2, "elinewidth": 0.9, "linewidth": 1.1, "zorder": 2, "alpha": 0.55,
          "markerfacecolor": "white"}  # fmt: skip


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
      is_light: drawn hollow and pale, behind the others.
    """

    name: str
    kind: str
    x: float
    y: float
    low: float
    high: float
    is_light: bool = False


def styles(kinds: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    """Kind → colour and marker, in the order given; black and the cross are left to others."""
    colours = [colour for colour in COLOURS if colour != BLACK]
    markers = [marker for marker in MARKERS if marker != CROSS]
    rounds = len(colours)  # after each, colours come again with other markers
    return {
        kind: {"color": colours[n % rounds], "marker": markers[(n + n // rounds) % len(markers)]}
        for n, kind in enumerate(dict.fromkeys(kinds))
    }


def shortened(name: str) -> str:
    """A name that fits into a picture."""
    return name if len(name) <= _MAX_LETTERS else name[: _MAX_LETTERS - 1].rstrip() + "…"


def draw_points(
    axis: Axes,
    points: Sequence[Point],
    style: Mapping[str, Mapping[str, str]],
    joined: Sequence[str] = (),
) -> None:
    """Draws points with their intervals; those of a kind in `joined` with a line through them."""
    for kind, is_light in dict.fromkeys((point.kind, point.is_light) for point in points):
        members = [p for p in points if (p.kind, p.is_light) == (kind, is_light)]
        members.sort(key=lambda p: p.x)
        axis.errorbar(
            [p.x for p in members],
            [p.y for p in members],
            yerr=[
                [max(p.y - p.low, 0) for p in members],  # NaN where the interval is not known
                [max(p.high - p.y, 0) for p in members],
            ],
            label=None if is_light else kind,
            markersize=7,
            linestyle=_line(is_light) if kind in joined and len(members) > 1 else "none",
            **(_LIGHT if is_light else _FULL),
            **style[kind],
        )


def _line(is_light: bool) -> str:
    return ":" if is_light else "-"


def name_points(
    axis: Axes,
    points: Sequence[Point],
    lines: Sequence[Sequence[tuple[float, float]]] = (),
    others: Sequence[Point] = (),
) -> None:
    """Writes each point's name beside it, clear of the others; call when limits are set.

    Args:
      axis: with its points drawn.
      points: to be named.
      lines: corners (x, y) of drawn lines that names had better not cross.
      others: points that have no name, to be kept clear of as well.
    """
    figure = axis.figure
    figure.draw_without_rendering()
    pixel = figure.dpi / 72
    frame = axis.get_window_extent()
    taken = [_box_of(axis, point, pixel) for point in dict.fromkeys([*points, *others])]
    taken += [box for line in lines for box in _boxes_along(axis, line, pixel)]
    for point in sorted(points, key=lambda p: -p.y):
        x, y = axis.transData.transform((point.x, point.y))
        width, height = (
            0.58 * _NAME_POINTS * pixel * len(shortened(point.name)),
            1.15 * _NAME_POINTS * pixel,
        )
        places = [
            (start, y + step * height / 2)
            for step in sorted(range(-12, 13), key=abs)
            for start in (x + _GAP_POINTS * pixel, x - _GAP_POINTS * pixel - width)
            if frame.x0 <= start and start + width <= frame.x1 + 4 * pixel
        ] or [(x + _GAP_POINTS * pixel, y)]
        boxes = [(left, left + width, low - height / 2, low + height / 2) for left, low in places]
        best = min(range(len(boxes)), key=lambda n: (_overlap(boxes[n], taken), n))
        taken.append(boxes[best])
        left, middle = places[best]
        axis.annotate(
            shortened(point.name),
            (point.x, point.y),
            textcoords="offset points",
            xytext=((_GAP_POINTS if left > x else -_GAP_POINTS), (middle - y) / pixel),
            ha="left" if left > x else "right",
            va="center",
            fontsize=_NAME_POINTS,
            color=_INK,
            arrowprops=_LEADER if abs(middle - y) > height else None,
        )


def _box_of(axis: Axes, point: Point, pixel: float) -> _Box:
    """What a point and its interval cover, in pixels."""
    low = point.y if math.isnan(point.low) else point.low
    high = point.y if math.isnan(point.high) else point.high
    x, bottom = axis.transData.transform((point.x, low))
    _, top = axis.transData.transform((point.x, high))
    return x - 5 * pixel, x + 5 * pixel, bottom - 5 * pixel, top + 5 * pixel


def _boxes_along(axis: Axes, line: Sequence[tuple[float, float]], pixel: float) -> list[_Box]:
    """Small boxes along a line, in pixels."""
    corners = axis.transData.transform(line)
    boxes = []
    for (x, y), (next_x, next_y) in itertools.pairwise(corners):
        for part in range(_PARTS_OF_A_LINE):
            here = part / _PARTS_OF_A_LINE
            a, b = x + here * (next_x - x), y + here * (next_y - y)
            boxes.append((a, a + 3 * pixel, b - 1.5 * pixel, b + 1.5 * pixel))
    return boxes


def _overlap(box: _Box, taken: Sequence[_Box]) -> float:
    """Area that a box shares with others."""
    left, right, bottom, top = box
    return sum(
        max(min(right, end) - max(left, start), 0.0) * max(min(top, high) - max(bottom, low), 0.0)
        for (start, end, low, high) in taken
    )
