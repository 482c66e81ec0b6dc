"""Pages: whole, escaped, self-contained."""

from __future__ import annotations

import jinja2
import pytest

from fine2coarse.files import write_atomic
from fine2coarse.report import page
from fine2coarse.report.figures import saved_figure

EVIL = "<script>alert(1)</script>"


def report(**values: object) -> str:
    given = {
        "title": "t", "answer": "a", "warnings": [], "introduction": "i", "facts": {},
        "note": "", "partial": "", "sections": [],
    }  # fmt: skip
    return page.render("report.html", **{**given, **values})


def test_text_is_escaped_everywhere(tmp_path):
    (tmp_path / "p.jpg").write_bytes(b"x")
    parts = [
        page.paragraph(EVIL), page.heading(EVIL, 3), page.preformatted(EVIL), page.bullets([EVIL]),
        page.facts({EVIL: EVIL}), page.folded(EVIL, page.paragraph(EVIL)),
        page.table([EVIL], [[EVIL]], caption=EVIL, label=EVIL),
        page.figure(tmp_path / "p.jpg", alt=EVIL, caption=EVIL),
        page.gallery([page.GalleryPicture(tmp_path / "p.jpg", EVIL, [(EVIL, "truth")])]),
    ]  # fmt: skip
    text = report(
        title=EVIL, answer=EVIL, warnings=[EVIL], introduction=EVIL, facts={"x": EVIL}, note=EVIL,
        partial=EVIL, sections=[page.Section(EVIL, parts)],
    )  # fmt: skip
    assert "<script>" not in text
    # Title twice, partial, answer, warning, introduction, fact, note, heading twice; the parts.
    assert text.count("&lt;script&gt;") == 10 + 1 + 1 + 1 + 1 + 2 + 2 + 4 + 2 + 2
    assert "&amp;lt;" not in text, "nothing is escaped twice"


def test_html_that_is_not_marked_as_such_is_shown_as_text():
    text = report(sections=[page.Section("x", ["<b>bold</b>"])])
    assert "&lt;b&gt;bold&lt;/b&gt;" in text


def test_a_page_that_lacks_something_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="answer"):
        page.render("report.html", title="t", partial="", sections=[])


def test_sections_can_be_linked_to_and_empty_parts_are_left_out():
    text = report(sections=[page.Section("Easy and hard", ["", page.paragraph("p")])])
    assert '<li><a href="#easy-and-hard">Easy and hard</a></li>' in text
    assert '<h2 id="easy-and-hard">Easy and hard</h2>\n<p>p</p>\n</main>' in text


def test_a_table_marks_rows_and_columns():
    text = page.table(
        ["arm", "n", "words"],
        [["a", 1, "x"], ["b", 2, "y"]],
        row_classes=["best", ""],
        text_columns=(2,),
    )
    assert '<tr class="best"><th scope="row">a</th><td>1</td><td class="words">x</td></tr>' in text
    assert '<tr><th scope="row">b</th><td>2</td>' in text
    assert '<th scope="col" class="words">words</th>' in text
    with pytest.raises(ValueError, match="a class for each of 1 rows"):
        page.table(["a"], [["1"]], row_classes=["best", "best"])


def test_a_page_may_hold_what_utf8_cannot(tmp_path):
    write_atomic(tmp_path / "a.html", page.paragraph("folder photos-\udcff → é"))
    assert (tmp_path / "a.html").read_text("utf-8") == "<p>folder photos-\\udcff → é</p>"


def test_rows_of_another_length_are_refused():
    with pytest.raises(ValueError, match="expected 2 cells"):
        page.table(["a", "b"], [["1"]])


def test_a_picture_is_embedded_and_written_whole(tmp_path):
    with saved_figure(tmp_path / "p.png") as axes:
        axes.plot([0, 1], [0, 1])
    shown = page.figure(tmp_path / "p.png", alt='a "line"')
    assert "data:image/png;base64,iVBOR" in shown and 'alt="a &#34;line&#34;"' in shown
    assert [path.name for path in tmp_path.iterdir()] == ["p.png"]


def test_a_failing_picture_leaves_no_file(tmp_path):
    with pytest.raises(ZeroDivisionError), saved_figure(tmp_path / "p.png"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
