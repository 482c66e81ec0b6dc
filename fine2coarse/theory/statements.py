"""Verdicts: a statement, what was measured over all runs, the bound, and whether it holds.

A verdict bounds every run, not the mean: "at most" looks at the largest value over seeds (and
settings), "at least" at the smallest. One that `is_asked` is a hypothesis that a reader may bring
along; a "no" there is a result, not a failure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fine2coarse.theory.measurements import paired_p_value
from fine2coarse.theory.trials import Row


@dataclass(frozen=True)
class Verdict:
    """A statement, what was measured, the bound, and whether it holds."""

    statement: str
    measured: str
    bound: str
    holds: bool
    is_asked: bool = False  # a hypothesis, rather than what the theory says

    @property
    def word(self) -> str:
        """What a table says of it."""
        if self.is_asked:
            return "asked: yes" if self.holds else "asked: no"
        return "holds" if self.holds else "does not hold"


def at_most(statement, rows, column, bound, *, is_asked=False) -> Verdict:
    """Every value of `column` is at most `bound`."""
    values = column_of(rows, column)
    return Verdict(statement, _shown(values), f"≤ {bound:g}", max(values) <= bound, is_asked)


def at_least(statement, rows, column, bound, *, is_asked=False) -> Verdict:
    """Every value of `column` is at least `bound`."""
    values = column_of(rows, column)
    return Verdict(statement, _shown(values), f"≥ {bound:g}", min(values) >= bound, is_asked)


def near_one(statement, rows, column, tolerance, *, is_asked=False) -> Verdict:
    """Every value of `column` lies within `tolerance` of one."""
    values = column_of(rows, column)
    holds = max(abs(value - 1) for value in values) <= tolerance
    return Verdict(statement, _shown(values), f"1 ± {tolerance:g}", holds, is_asked)


def wins(statement, better: list[Row], worse: list[Row], column: str) -> Verdict:
    """`better` has the smaller `column` in every pair; both in the order of their seeds."""
    first, second = column_of(worse, column), column_of(better, column)
    num_wins = sum(a > b for a, b in zip(first, second, strict=True))
    shown = f"in {num_wins} of {len(first)} seeds; Wilcoxon p = {paired_p_value(first, second):.2g}"
    return Verdict(statement, shown, "in every seed", num_wins == len(first))


def exceeds(statement, more: list[Row], less: list[Row], column, margin=0.0) -> Verdict:
    """Asked: the mean of `more` lies above that of `less` by more than `margin`."""
    first, second = mean_of(more, column), mean_of(less, column)
    shown = f"{first:.3g} against {second:.3g}, means"
    return Verdict(statement, shown, f"larger by > {margin:g}", first > second + margin, True)


def select(rows: Iterable[Row], **wanted) -> list[Row]:
    """Rows whose columns equal what is wanted.

    Raises:
      ValueError: there is none.
    """
    found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    if not found:
        raise ValueError(f"no row has {wanted}")
    return found


def column_of(rows: Iterable[Row], column: str) -> list:
    """The values of a column."""
    return [row[column] for row in rows]


def settings_of(rows: Iterable[Row]) -> list[float]:
    """The settings that the rows cover, in order."""
    return sorted(set(column_of(rows, "value")))


def mean_of(rows: list[Row], column: str) -> float:
    """Mean of a column."""
    values = column_of(rows, column)
    return sum(values) / len(values)


def _shown(values):
    low, high = f"{min(values):.4g}", f"{max(values):.4g}"
    return f"{low if low == high else f'{low} to {high}'} in {len(values)} runs"
