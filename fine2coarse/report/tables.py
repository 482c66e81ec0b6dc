"""One table in three forms: on a page, as CSV for programs, as LaTeX for papers."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import pathlib
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from fine2coarse.analysis.intervals import Interval
from fine2coarse.files import write_atomic
from fine2coarse.report import page

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$", "−": "$-$", "–": "--",
    "×": r"$\times$", "≤": r"$\leq$", "…": r"\dots{}",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Table:
    """A table to be shown, and the numbers behind it.

    Attributes:
      name: of its files.
      caption: what it shows.
      columns: headings.
      cells: what is shown, as many a row as there are columns.
      records: the same rows as full numbers: column of the CSV file → value.
      row_classes: as in `page.table`.
      text_columns: as in `page.table`.
    """

    name: str
    caption: str
    columns: Sequence[str]
    cells: Sequence[Sequence[str]]
    records: Sequence[Mapping[str, object]]
    row_classes: Sequence[str] = ()
    text_columns: Sequence[int] = ()

    def html(self, label: str = "") -> Markup:
        """For a page; `label` names it for those who cannot see it."""
        return page.table(
            self.columns,
            self.cells,
            caption=self.caption,
            label=label or self.name,
            row_classes=self.row_classes,
            text_columns=self.text_columns,
        )

    def csv(self) -> str:
        """The numbers behind it; an unknown one is empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.records[0]) if self.records else self.columns)
        writer.writeheader()
        writer.writerows(self.records)
        return text.getvalue()

    def latex(self) -> str:
        r"""A `tabular` in the style of booktabs; a paper needs `\usepackage{booktabs}`."""
        words = {0, *self.text_columns}
        spec = "".join("l" if n in words else "r" for n in range(len(self.columns)))
        rows = [_latex_row(cells) for cells in self.cells]
        return "\n".join(
            [
                f"% {_one_line(self.caption)}",
                rf"\begin{{tabular}}{{{spec}}}",
                r"\toprule",
                _latex_row(self.columns),
                r"\midrule",
                *rows,
                r"\bottomrule",
                r"\end{tabular}",
                "",
            ]
        )

    def write(self, folder: pathlib.Path) -> None:
        """Writes `name`.csv and `name`.tex, each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / f"{self.name}.csv", self.csv())
        write_atomic(folder / f"{self.name}.tex", self.latex())


def cell(value: float | None) -> float | str:
    """A number of a CSV file, or nothing in the place of one that is not known."""
    return "" if value is None or math.isnan(value) else value


def interval_columns(name: str, value: Interval | None) -> dict[str, float | str]:
    """Columns of a CSV file for an interval: the estimate, and its ends."""
    parts = (("", "estimate"), ("_low", "low"), ("_high", "high"))
    return {name + suffix: cell(value and getattr(value, end)) for suffix, end in parts}


def escape_latex(text: str) -> str:
    """Text as LaTeX would print it."""
    return "".join(_LATEX.get(character, character) for character in _one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(escape_latex(cell) for cell in cells) + r" \\"
