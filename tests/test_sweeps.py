"""A sweep from Python: every cell is tried, the page shows them side by side, errors at the end."""

from __future__ import annotations

import dataclasses
import json

import pytest

import fine2coarse
from fine2coarse import sweeps
from fine2coarse.api import read_result
from fine2coarse.errors import RecipeError, UsageError
from fine2coarse.studies.study import StudyError
from fine2coarse.studies.sweep import SweepError
from tests.analysis.fake_study import ERRORS, write_study

RATE = "pretrain.optimizer.learning_rate"
OVER = {RATE: [0.1, 0.2, 0.4]}
FINE = {0.1: 0.20, 0.2: 0.10, 0.4: 0.30}


@pytest.fixture
def done(monkeypatch):
    """Instead of training, runs are written; what was asked for is kept."""
    asked = []

    def do_runs(recipe, address, runs, **settings):
        folder = sweeps.pathlib.Path(address)
        rate = recipe.pretrain.optimizer.learning_rate
        asked.append((rate, len(runs), settings["wait"], settings["data_dir"]))
        if rate in done.failing:
            raise done.failing[rate]
        if not folder.is_dir():
            phase = {"total_steps": 40, "batch_size": 16, "optimizer": {"learning_rate": rate}}
            write_study(folder, errors={**ERRORS, "fine": FINE[rate]}, pretrain=phase,
                        seeds=recipe.seeds, arms=recipe.to_dict()["arms"])  # fmt: skip
        return read_result(folder)

    done = do_runs
    done.asked, done.failing = asked, {}
    monkeypatch.setattr(sweeps, "do_runs", do_runs)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    return do_runs


def test_a_sweep_does_every_cell_and_shows_them_side_by_side(tmp_path, done):
    result = fine2coarse.run_sweep("demo:smoke", tmp_path / "rates", OVER)
    data = str(tmp_path / "rates" / "data")
    assert done.asked == [(rate, 5, False, data) for rate in (0.1, 0.2, 0.4)]
    assert list(result.cells) == ["learning_rate=0.1", "learning_rate=0.2", "learning_rate=0.4"]
    assert [record[RATE] for record in result.table] == [0.1, 0.2, 0.4]
    assert [record["arm"] for record in result.table] == ["fine", "fine", "middle"]
    assert [record["error"] for record in result.table] == pytest.approx([0.2, 0.1, 0.23])
    assert result.table[0]["baseline_error"] == pytest.approx(0.36)
    assert result.is_finished and result.report == tmp_path / "rates" / "report.html"
    assert "learning_rate=0.2" in result.report.read_text("utf-8")
    text = str(result)
    assert text.startswith(f"{RATE}    runs  baseline error %  best arm")
    assert "Lowest error: learning_rate=0.2, fine, at 10.00 %" in text
    assert text.endswith("rates/report.html")
    json.dumps(result.table)


def test_the_same_call_does_not_do_again_what_is_finished(tmp_path, done):
    fine2coarse.run_sweep("demo:smoke", tmp_path, {RATE: [0.1, 0.2]})
    first = dict(done.failing)
    result = fine2coarse.run_sweep("demo:smoke", tmp_path, {RATE: [0.4]})
    assert not first and list(result.cells)[-1] == "learning_rate=0.4" and len(result.cells) == 3
    assert all(not wait for *_, wait, _ in done.asked), "nothing is left to wait for"


def test_a_cell_that_fails_does_not_stop_the_others(tmp_path, done):
    done.failing[0.1] = StudyError("1 of 5 runs failed: loss is not finite")
    with pytest.raises(SweepError, match=r"1 of 3 cells failed.*learning_rate=0.1: 1 of 5 runs"):
        fine2coarse.run_sweep("demo:smoke", tmp_path, OVER)
    assert [rate for rate, *_ in done.asked] == [0.1, 0.2, 0.4]
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "learning_rate=0.4" in page
    done.failing.clear()
    assert fine2coarse.run_sweep("demo:smoke", tmp_path, OVER).is_finished


def test_what_stops_every_cell_is_told_as_it_is(tmp_path, done):
    done.failing |= dict.fromkeys(FINE, UsageError("no such photographs"))
    with pytest.raises(UsageError, match=r"^no such photographs$") as told:
        fine2coarse.run_sweep("demo:smoke", tmp_path, OVER)
    assert told.value.exit_code == 2


def test_what_cannot_be_is_told_before_anything_is_written(tmp_path, done):
    with pytest.raises(RecipeError, match="did you mean 'learning_rate'"):
        fine2coarse.run_sweep(
            "demo:smoke", tmp_path / "x", {"pretrain.optimizer.learning_rat": [1]}
        )
    with pytest.raises(RecipeError, match="did you mean 'fine'"):
        fine2coarse.run_sweep("demo:smoke", tmp_path / "x", OVER, arms=["fien"])
    with pytest.raises(UsageError, match="works in local folders"):
        fine2coarse.run_sweep("demo:smoke", "gs://bucket/x", OVER)
    assert not list(tmp_path.iterdir()) and not done.asked


def test_nothing_finished_and_one_cell_alone(tmp_path, done):
    done.failing |= {0.2: StudyError("x"), 0.4: StudyError("x")}
    with pytest.raises(SweepError):
        fine2coarse.run_sweep("demo:smoke", tmp_path / "a", {RATE: [0.2]})
    with pytest.raises(SweepError):
        fine2coarse.run_sweep("demo:smoke", tmp_path / "b", OVER)
    assert not (tmp_path / "b" / "report.html").exists(), "one cell stands beside nothing"


def test_the_use_of_a_cells_best_arm_is_that_of_the_page(tmp_path, done):
    result = fine2coarse.run_sweep("demo:smoke", tmp_path, {RATE: [0.1, 0.2]})
    cell = result.cells["learning_rate=0.2"]
    assert sweeps._best(cell)["use"] == "transferred"
    table = [
        record | {"direct_error": record["error"], "transfer": "direct"} for record in cell.table
    ]
    direct = dataclasses.replace(cell, table=table)
    assert sweeps._best(direct) == {"arm": "fine", "use": "direct", "error": pytest.approx(0.1)}


@pytest.mark.slow
def test_a_sweep_that_trains(tmp_path):
    config = fine2coarse.load_config(
        "demo:smoke", {"transfer_candidates": "off", "pretrain.total_steps": 4,
                       "transfer.total_steps": 4, "transfer.optimizer.warmup_steps": 0},
    )  # fmt: skip
    result = fine2coarse.run_sweep(
        config, tmp_path / "rates", {RATE: [0.1, 0.2]}, arms=["baseline", "fine"]
    )
    assert not result.is_finished and [record["finished"] for record in result.table] == [2, 2]
    cell = tmp_path / "rates" / "learning_rate=0.1"
    assert (cell / "report.html").is_file() and not (cell / "data").exists()
    assert "partial: all runs of 0 of 2 cells are finished" in str(result)
