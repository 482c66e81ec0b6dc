"""The public API: a card's fields, a study from Python, its result as plain records."""

from __future__ import annotations

import dataclasses
import json
import sys

import pytest

import fine2coarse
from fine2coarse import api
from fine2coarse.errors import RecipeError, UsageError
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.report.provenance import commands, record_command
from tests.analysis.fake_study import DIRECT, ERRORS, write_study


def test_a_card_with_fields_set():
    config = fine2coarse.load_config(
        "demo:smoke",
        {"pretrain.total_steps": 20, "dataset.options.num_marks": 3, "arms.fine.pretrain_steps": 8},
        seeds=[0, 1],
    )
    assert config.pretrain.total_steps == 20 and config.seeds == (0, 1)
    assert config.dataset.options.num_marks == 3 and config.arms.fine.pretrain_steps == 8
    assert config.is_locked
    recipe = api.parse_recipe(config)
    assert recipe.seeds == (0, 1) and recipe.pretrain.total_steps == 20
    assert api.parse_recipe("demo:smoke").seeds == (0,)
    assert api.parse_recipe(recipe) is recipe


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"pretrain.total_step": 5}, "did you mean 'total_steps'"),
        ({"pretrain.total_steps": "many"}, r"config.pretrain.total_steps: "),
        ({"seed": 1}, "unknown field 'seed'"),
    ],
)
def test_fields_that_cannot_be_set(overrides, message):
    with pytest.raises(RecipeError, match=message):
        fine2coarse.load_config("demo", overrides)


def test_a_result_is_a_record_an_arm(tmp_path):
    study = write_study(tmp_path / "study", direct=DIRECT, candidates=True)
    result = fine2coarse.read_result(study)
    assert [record["arm"] for record in result.table] == ["baseline", "middle", "fine", "random"]
    fine = result.table[2]
    assert (fine["classes"], fine["seeds"], fine["transfer"]) == (32, 3, "direct")
    # The fake study makes exactly these errors; `direct` is taken where it has less.
    assert fine["error"] == pytest.approx(min(ERRORS["fine"], DIRECT["fine"]), abs=0.005)
    assert fine["direct_error"] == pytest.approx(DIRECT["fine"], abs=0.005)
    assert fine["change"] == pytest.approx(fine["error"] / result.table[0]["error"] - 1)
    assert fine["change_low"] <= fine["change"] <= fine["change_high"] < 0
    assert (fine["verdict"], result.table[0]["verdict"]) == ("lower", None)
    assert len(result.runs) == result.num_planned == 12 and result.is_finished
    run = next(run for run in result.runs if run["arm"] == "fine" and run["seed"] == 1)
    assert run["error"] == run["num_wrong"] / run["num_images"]
    assert run["folder"].endswith("fine-seed1")
    assert "beat the baseline" in result.summary and result.report is None
    assert (result.best.arm, result.best.use, result.best.is_partial) == ("fine", "direct", False)
    assert str(result).endswith(result.best.told(study)) and "fine2coarse predict" in str(result)
    json.dumps([result.table, result.runs], allow_nan=False)


def test_a_study_of_early_days_has_no_intervals(tmp_path):
    study = write_study(tmp_path / "study", predictions=False, cost=False)
    (tmp_path / "study" / "report.html").write_text("")
    result = fine2coarse.read_result(study)
    assert result.table[1]["change"] is not None
    assert {record["p_value"] for record in result.table} == {None}
    assert result.report == tmp_path / "study" / "report.html"
    json.dumps(result.table, allow_nan=False)


def test_a_result_as_frames(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    result = fine2coarse.read_result(write_study(tmp_path / "study"))
    arms, runs = result.to_pandas(), result.to_pandas("runs")
    assert isinstance(arms, pandas.DataFrame)
    assert arms.arm.tolist() == ["baseline", "middle", "fine", "random"]
    assert runs.groupby("arm").error.mean()["fine"] == pytest.approx(ERRORS["fine"], abs=0.005)
    with pytest.raises(UsageError, match="unknown table 'run'; did you mean 'runs'"):
        result.to_pandas("run")
    monkeypatch.setitem(sys.modules, "pandas", None)  # as if it were not installed
    with pytest.raises(UsageError, match=r"pip install pandas$"):
        result.to_pandas()


def test_what_is_printed(tmp_path):
    result = fine2coarse.read_result(write_study(tmp_path / "study"))
    text = str(result).split("\n\n")
    assert text[0].startswith("arm ") and text[0].count("\n") == 5
    assert text[1].startswith("baseline: error 36")
    unfinished = dataclasses.replace(result, runs=[], num_planned=15)
    assert str(unfinished) == "0 of 15 runs are finished"


def test_a_folder_without_a_study(tmp_path):
    with pytest.raises(UsageError, match=r"no recipe.json"):
        fine2coarse.read_result(tmp_path)


def test_the_report_names_the_command_as_it_was_typed(tmp_path):
    folder = tmp_path / "demo"
    folder.mkdir()
    arguments = ["--config=demo:smoke", "--jobs=2"]
    record_command(folder, "fine2coarse study", arguments)
    record_command(folder, "launch/study.py", arguments)
    assert commands(folder) == [
        "fine2coarse study --config=demo:smoke --workdir=runs/demo",
        "python launch/study.py --config=demo:smoke --workdir=runs/demo",
    ]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """The smallest study: two arms of few steps, and one transfer."""
    config = fine2coarse.load_config(
        "demo:smoke", {"transfer_candidates": "off", "pretrain.total_steps": 4,
                       "transfer.total_steps": 4, "transfer.optimizer.warmup_steps": 0},
    )  # fmt: skip
    parsed = api.parse_recipe(config)
    return dataclasses.replace(parsed, arms={"fine": parsed.arms["fine"]})


@pytest.mark.slow
def test_a_study_from_python(tmp_path, recipe):
    workdir = tmp_path / "study"
    half = fine2coarse.run_study(recipe, workdir, arms=["baseline"])
    assert (len(half.runs), half.num_planned) == (1, 2)
    assert half.partial == "partial: 1 of 2 runs is finished; missing: fine (seed 0)"
    assert "Partial: 1 of 2 runs is finished" in half.report.read_text("utf-8")
    whole = fine2coarse.run_study(recipe, str(workdir), strategy="one_device")
    assert [record["arm"] for record in whole.table] == ["baseline", "fine"]
    assert whole.report == workdir / "report.html" and not whole.partial
    assert "Partial:" not in whole.report.read_text("utf-8")
    assert whole.runs[0] == half.runs[0]
    assert fine2coarse.read_result(workdir).table == whole.table


def test_a_study_that_cannot_be_leaves_nothing(tmp_path, recipe, monkeypatch):
    with pytest.raises(RecipeError, match="did you mean 'fine'"):
        fine2coarse.run_study(recipe, tmp_path / "study", arms=["fin"])
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(UsageError, match="spreads whole runs"):
        fine2coarse.run_study(recipe, tmp_path / "study")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workdir", ["", " "])
def test_an_empty_workdir_is_no_folder(workdir):
    with pytest.raises(UsageError, match="workdir is empty; name a folder"):
        fine2coarse.run_study("demo:smoke", workdir)
    with pytest.raises(UsageError, match="workdir is empty; name a folder"):
        fine2coarse.run_sweep("demo:smoke", workdir, {"pretrain.total_steps": [12]})


def test_a_study_that_cannot_begin_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arm = {"source": "file", "options": {"path": "nowhere.npz"}}
    config = fine2coarse.load_config("demo:smoke").to_dict() | {"arms": {"mine": arm}}
    for workdir in (tmp_path / "new", tmp_path / "mine"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        with pytest.raises(UsageError, match=r"nowhere\.npz: there is no such file"):
            fine2coarse.run_study(config, workdir)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]  # which was there before
