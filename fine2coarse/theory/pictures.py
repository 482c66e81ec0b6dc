"""What a picture of the laboratory shows, and its points: means over seeds with their interval."""

from __future__ import annotations

from dataclasses import dataclass

from fine2coarse.theory.measurements import Spread, spread


@dataclass(frozen=True)
class Line:
    """One line of a picture: a column of the rows of a curve, mean over seeds."""

    label: str
    curve: str
    column: str
    where: tuple[tuple[str, float], ...] = ()  # further columns that must be equal


@dataclass(frozen=True)
class Picture:
    """A drawing of lines over `x`, a column of the rows."""

    name: str
    x: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    x_scale: str = "linear"  # or "log2", "log10", "symlog" (log10, with zero)
    reference: float | None = None  # a horizontal line at what the theory says

    @property
    def words(self) -> str:
        """What the picture shows, for its caption."""
        labels = "; ".join(line.label for line in self.lines)
        return f"{self.y_label[0].upper()}{self.y_label[1:]} over {self.x_label}: {labels}."


def points(rows, line: Line, x: str) -> list[tuple[float, Spread]]:
    """For each value of the column `x`, in order, the spread of the line's column over seeds.

    Raises:
      ValueError: the line has no rows.
    """
    groups: dict[float, list[float]] = {}
    for row in rows:
        if row["curve"] == line.curve and all(row[name] == value for name, value in line.where):
            groups.setdefault(row[x], []).append(row[line.column])
    if not groups:
        raise ValueError(f"no row belongs to {line}")
    return [(value, spread(groups[value])) for value in sorted(groups)]
