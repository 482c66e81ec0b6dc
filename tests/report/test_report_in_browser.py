"""Reports as a real browser shows them: on a desk and at a telephone's width."""

from __future__ import annotations

import pytest
from browser import look

from fine2coarse.report import write_report
from tests.analysis.fake_study import ARMS, DIRECT, write_study

_LONG = "an arm with <a> & a very long name indeed, to see where it goes"

_OTHER = {"source": "random", "options": {"as_many_as_level": "middle"}}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s")
    arms = {**ARMS, _LONG: {"source": "clusters", "options": {"aligned": False}}}
    tried = {"direct": DIRECT, "candidates": True}
    first = write_study(folder / "first", arms=arms, **tried)
    others = {"random": _OTHER, "fine": ARMS["fine"]}
    second = write_study(folder / "second", seeds=(2, 3), arms=others, **tried)
    path = write_report(first, second, out=folder / "out")
    text = path.read_text()
    assert "Merged from 2 studies: first, second" in text and "random (second)" in text
    assert not (first / "report.html").exists()
    return path


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_a_report_fits_its_window_and_loads_whole(page, tmp_path, width):
    found = look(page, tmp_path, width)
    assert found["console"] == []
    assert found["width"] <= width and found["scroll_width"] <= found["width"]
    assert found["wide"] == []
    assert len(found["images"]) >= 3
    assert all(image["width"] > 0 and image["alt"] for image in found["images"])
    assert found["tables"] == len(found["boxes"]) and set(found["boxes"]) == {0}
    assert found["unscoped"] == 0
    assert found["broken_links"] == [] and found["outside"] == []
    assert found["landmarks"] == ["header", "main"]


@pytest.mark.slow
def test_the_check_finds_what_is_wrong(tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><title>x</title><div style='width:700px'>wide</div><img src='data:,'>"
        "<script>console.error('broken')</script>"
    )
    found = look(bad, tmp_path, 390)
    assert found["scroll_width"] > found["width"] and found["wide"]
    assert any("broken" in line for line in found["console"])
    assert found["images"] == [{"alt": "", "width": 0}]
