"""The page of studies side by side: its sections, its tables, what it refuses."""

from __future__ import annotations

import csv
import html
import re
import shlex

import pytest

from fine2coarse.errors import UsageError
from fine2coarse.files import is_partial
from fine2coarse.report import write_side_by_side
from tests.analysis.fake_study import DIRECT, ERRORS, write_study

PHASE = {"total_steps": 40, "batch_size": 16}


def rate(value: float) -> dict:
    return {"pretrain": {**PHASE, "optimizer": {"learning_rate": value}}, "transfer": PHASE}


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    root = tmp_path_factory.mktemp("rates")
    lower = {**ERRORS, "baseline": 0.30, "fine": 0.10}
    return [
        write_study(root / "rate<0.05>", direct=DIRECT, candidates=True, **rate(0.05)),
        write_study(root / "rate0.2", errors=lower, direct=DIRECT, candidates=True, **rate(0.2)),
    ]


@pytest.fixture(scope="module")
def written(studies):
    return write_side_by_side(studies)


def read(page, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((page.parent / "tables" / name).open(encoding="utf-8")))


def test_the_page_lies_beside_the_first_study_and_needs_nothing_else(studies, written):
    assert written.page == studies[0].parent / "comparison" / "report.html"
    text = written.page.read_text("utf-8")
    assert 'src="http' not in text and "<script" not in text and "rate<0.05>" not in text
    assert "rate&lt;0.05&gt;" in text
    headings = re.findall(r'<h2 id="[^"]*">([^<]*)</h2>', text)
    assert headings == ["What differs", "Errors", "Learning curves", "Cost", "How this was made"]
    assert shlex.join(["--compare", *map(str, studies)]) in html.unescape(text)
    assert not [path for path in written.page.parent.rglob("*") if is_partial(path.name)]


def test_the_tables_hold_each_study_s_numbers(written):
    (field,) = read(written.page, "recipes.csv")
    assert field == {
        "field": "pretrain.optimizer.learning_rate", "rate<0.05>": "0.05", "rate0.2": "0.2"
    }  # fmt: skip
    errors = {(row["arm"], row["use"]): row for row in read(written.page, "errors.csv")}
    fine = errors["fine", "transferred"]
    assert float(fine["rate0.2: error"]) == pytest.approx(0.10)
    assert float(fine["rate<0.05>: error"]) == pytest.approx(0.12)  # used directly
    assert errors["baseline", "transferred"]["rate0.2: num_seeds"] == "3"
    changes = {(row["arm"], row["use"]): row for row in read(written.page, "differences.csv")}
    baseline = changes["baseline", "transferred"]
    assert float(baseline["difference"]) == pytest.approx(-0.06)
    assert baseline["is_paired"] == "True" and baseline["study"] == "rate0.2"
    costs = read(written.page, "cost.csv")
    assert [row["study"] for row in costs if row["arm"] == "fine"] == ["rate<0.05>", "rate0.2"]


def test_an_arm_has_a_curve_for_each_study(written):
    names = sorted(path.name for path in (written.page.parent / "pictures").iterdir())
    assert "errors.svg" in names and "errors-narrow.svg" in names
    assert len([name for name in names if name.startswith("curves-")]) == 2 * 4
    picture = (written.page.parent / "pictures" / "curves-0.svg").read_text("utf-8")
    assert picture.count("rate") >= 2 and "steps" in picture


def test_what_a_terminal_shows(written):
    text = str(written)
    assert text.splitlines()[0].split() == ["arm", "classes", "rate<0.05>", "rate0.2"]
    assert "Lowest error: rate0.2, fine, at 10.00 % (its baseline: 30.00 %)" in text
    assert text.endswith(f"report: {written.page}")


def test_unfinished_and_incomparable_studies_are_shown_with_what_they_lack(tmp_path):
    first = write_study(tmp_path / "a", **rate(0.05))
    other = write_study(tmp_path / "b", num_images=100, seeds=(0,), **rate(0.05))
    (other / "runs/random-seed0/transfer/result.json").unlink()
    written = write_side_by_side([first, other], tmp_path / "out")
    text = written.page.read_text("utf-8")
    assert "Partial: b: 3 of 4 runs are finished." in text
    assert "b was tested on other images" in text and "Differences to" not in text
    assert "seeds" in text and "Not comparable with b." in str(written)


def test_a_study_s_own_report_is_not_overwritten(studies):
    before = (studies[0] / "report.html").exists()
    with pytest.raises(UsageError, match=r"own report\.html would be lost; give another --out"):
        write_side_by_side(studies, studies[0])
    assert (studies[0] / "report.html").exists() == before
