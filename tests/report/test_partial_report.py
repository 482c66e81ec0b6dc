"""Reports of studies that are done in part, and which process writes them."""

from __future__ import annotations

import shutil
import threading
import time

import pytest

import fine2coarse
from fine2coarse.claims import Claims
from fine2coarse.files import read_json, write_json
from fine2coarse.report import write_report
from fine2coarse.report.claim import report_claim
from tests.analysis.fake_study import DIRECT, write_study
from tests.report.test_report import no_drawing  # noqa: F401 - a fixture

ALL = [f"{arm}-seed{seed}" for seed in (0, 1, 2) for arm in ("baseline", "middle", "fine")]


@pytest.mark.parametrize(
    "kept",
    [
        ["baseline-seed0"],
        ["fine-seed0"],
        ["fine-seed0", "middle-seed0", "fine-seed1"],
        ["baseline-seed0", "fine-seed1"],
        ["baseline-seed0", "fine-seed0"],
        ["baseline-seed0", "baseline-seed1", "fine-seed1", "fine-seed2", "middle-seed0"],
        ALL[:-1],
    ],
    ids=len,
)
@pytest.mark.usefixtures("no_drawing")
def test_whatever_is_finished_has_a_report_that_says_it_is_partial(tmp_path, kept):
    workdir = write_study(tmp_path / "s", direct=DIRECT, candidates=True)
    for run in (workdir / "runs").iterdir():
        if run.name not in kept:
            shutil.rmtree(run)
    text = write_report(workdir).read_text("utf-8")
    verb = "is" if len(kept) == 1 else "are"
    banner = f"Partial: {len(kept)} of 12 runs {verb} finished; missing: "
    main = text[text.index("<main") :]
    assert main.index(banner) < main.index('class="answer"')
    result = fine2coarse.read_result(workdir)
    assert str(result).startswith(banner[0].lower() + banner[1:])
    assert not result.is_finished and result.report == workdir / "report.html"


@pytest.mark.usefixtures("no_drawing")
def test_a_whole_study_has_no_banner(tmp_path):
    workdir = write_study(tmp_path / "s")
    assert 'class="partial"' not in write_report(workdir).read_text("utf-8")
    assert str(fine2coarse.read_result(workdir)).startswith("arm ")


def test_an_arm_that_is_the_target_is_told(tmp_path, no_drawing):  # noqa: F811
    workdir = write_study(tmp_path / "s")
    assert "same classes as the target" not in write_report(workdir).read_text("utf-8")
    for seed in (0, 1, 2):
        of_run = workdir / "runs" / f"middle-seed{seed}"
        target = read_json(of_run / "transfer/recipe.json")["label_space"]
        path = of_run / "pretrain/recipe.json"
        write_json(path, {**read_json(path), "label_space": target})
    text = write_report(workdir).read_text("utf-8")
    assert "Arm middle has the same classes as the target" in text


def test_a_partial_report_is_written_again_and_a_whole_one_is_not(tmp_path):
    shards = [Claims(tmp_path / "claims") for _ in range(3)]
    with report_claim(shards[0], lambda: False) as is_mine:
        assert is_mine
    with report_claim(shards[1], lambda: True) as is_mine:
        assert is_mine
    with report_claim(shards[2], lambda: True) as is_mine:
        assert not is_mine
    time.sleep(0.05)  # more than a tick of the file system's clock
    with report_claim(Claims(tmp_path / "claims"), lambda: True) as is_mine:
        assert is_mine, "a later call writes it again"


def test_the_last_one_waits_for_another_s_partial_report_and_writes_the_whole(tmp_path):
    first, last = (Claims(tmp_path / "claims") for _ in range(2))
    order = []

    def write_whole():
        with report_claim(last, lambda: True, poll_s=0.01) as is_mine:
            order.append(("whole", is_mine))

    with report_claim(first, lambda: False):
        thread = threading.Thread(target=write_whole)
        thread.start()
        thread.join(0.1)
        order.append("partial")
    thread.join(5)
    assert order == ["partial", ("whole", True)]


def test_a_report_that_fails_leaves_the_claim_free(tmp_path):
    claims = Claims(tmp_path / "claims")
    with pytest.raises(OSError, match="full"), report_claim(claims, lambda: True):
        raise OSError("full")
    with report_claim(claims, lambda: True) as is_mine:
        assert is_mine
