"""A table as a page, CSV and LaTeX."""

from __future__ import annotations

import csv
import io

import pytest

from fine2coarse.report.figures import saved_figure
from fine2coarse.report.points import Point, draw_points, name_points, styles
from fine2coarse.report.tables import Table, escape_latex

TABLE = Table(
    name="t",
    caption="50 % of\nall",
    columns=["arm", "error %", "note"],
    cells=[["a_b", "−1.0", "x & y"], ["<c>", "2.0", ""]],
    records=[{"arm": "a_b", "error": -0.0100001}, {"arm": "<c>, d", "error": ""}],
    text_columns=(2,),
)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 50 %", r"a\_b \& 50 \%"),
        ("\\input{x}", r"\textbackslash{}input\{x\}"),
        ("$x^2~#", r"\$x\textasciicircum{}2\textasciitilde{}\#"),
        ("two\nlines", "two lines"),
    ],
)
def test_latex_is_escaped(text, escaped):
    assert escape_latex(text) == escaped


def test_latex_has_the_rules_of_booktabs():
    assert TABLE.latex().splitlines() == [
        "% 50 % of all",
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r"arm & error \% & note \\",
        r"\midrule",
        r"a\_b & $-$1.0 & x \& y \\",
        r"\textless{}c\textgreater{} & 2.0 &  \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_csv_has_full_numbers(tmp_path):
    TABLE.write(tmp_path / "tables")
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {"t.csv", "t.tex"}
    rows = list(csv.DictReader(io.StringIO((tmp_path / "tables" / "t.csv").read_text())))
    assert rows == [{"arm": "a_b", "error": "-0.0100001"}, {"arm": "<c>, d", "error": ""}]


def test_html_scrolls_in_a_box_that_the_keyboard_reaches():
    shown = TABLE.html("The arms")
    assert 'tabindex="0" aria-label="The arms"' in shown
    assert shown.count('scope="col"') == 3 and shown.count('scope="row"') == 2
    assert "<c>" not in shown


def test_names_of_points_at_one_place_are_apart(tmp_path):
    points = [Point(f"name {n}", "k", 10.0, 20.0 + 0.1 * n, 19.0, float("nan")) for n in range(5)]
    with saved_figure(tmp_path / "p.svg") as axis:
        draw_points(axis, points, styles(["k"]))
        axis.set_xlim(0, 20)
        name_points(axis, points)
        axis.figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in axis.texts]
    overlapping = [(a, b) for n, a in enumerate(boxes) for b in boxes[:n] if a.overlaps(b)]
    assert len(boxes) == 5 and not overlapping
    assert "name 3" in (tmp_path / "p.svg").read_text()
