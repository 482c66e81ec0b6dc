"""What pages show of the demo is what README's first command printed, where its study is there."""

from __future__ import annotations

import re

import pytest

import fine2coarse
from tests.pages.blocks import blocks_of, differences
from tests.pages.page_runner import ROOT

_DEMO = ROOT / "runs" / "demo"
# Other processors round sums differently, and a few of 2,000 images then fall otherwise.
_TOLERANCE_POINTS = 5.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (_DEMO / "report.html").is_file(), reason="the demo was not run here"),
]


def test_sentences_of_the_demo():
    said = fine2coarse.read_result(_DEMO).summary
    pages = (block for page in ROOT.glob("docs/*.md") for block in blocks_of(page.read_text()))
    shown = [block.text for block in pages if block.is_of_the_demo]
    assert shown
    for text in shown:
        assert differences(text, said, numbers=False) == []


def test_table_of_the_demo():
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    section = text.partition("## The demo")[2].partition("\n## ")[0]
    row = re.compile(r"^\| (\w+) \| (\d+) \| ([\d.]+) ± ", re.MULTILINE)
    shown = {arm: (int(classes), float(error)) for arm, classes, error in row.findall(section)}
    for found in fine2coarse.read_result(_DEMO).table:
        classes, error = shown[found["arm"]]
        assert classes == found["classes"]
        assert abs(error - 100 * found["error"]) < _TOLERANCE_POINTS, found["arm"]
