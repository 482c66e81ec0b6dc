"""Pages: whole, escaped, self-contained."""

from __future__ import annotations

import pytest

from fine2coarse.report import page
from fine2coarse.report.figures import saved_figure


def test_text_is_escaped_everywhere():
    evil = "<script>alert(1)</script>"
    text = page.render(
        evil,
        [page.paragraph(evil), page.heading(evil), page.preformatted(evil)]
        + [page.table([evil], [[evil]], caption=evil)],
    )
    assert "<script>" not in text and text.count("&lt;script&gt;") == 8


def test_rows_of_another_length_are_refused():
    with pytest.raises(ValueError, match="expected 2 cells"):
        page.table(["a", "b"], [["1"]])


def test_a_picture_is_embedded_and_written_whole(tmp_path):
    with saved_figure(tmp_path / "p.png") as axes:
        axes.plot([0, 1], [0, 1])
    shown = page.figure(tmp_path / "p.png", alt='a "line"')
    assert "data:image/png;base64,iVBOR" in shown and 'alt="a &quot;line&quot;"' in shown
    assert [path.name for path in tmp_path.iterdir()] == ["p.png"]


def test_a_failing_picture_leaves_no_file(tmp_path):
    with pytest.raises(ZeroDivisionError), saved_figure(tmp_path / "p.png"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
