"""A real study: every file of it is on the map, and cleaning it changes no number."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shutil

import pytest

import fine2coarse
from fine2coarse import api
from fine2coarse.folders.cleaning import clean, plan_cleaning
from fine2coarse.folders.states import study_state
from fine2coarse.recipes.names import BASELINE, PRETRAIN, TRANSFER
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.report import write_report

_PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "studies.md"
_NAME = r"[^/]+"
_RUN = f"runs/{_NAME}-seed\\d+/"
_PHASE = f"{_RUN}(?:{PRETRAIN}|{TRANSFER}|{BASELINE}|trials/{_NAME}(?:/probe)?)/"


def map_of_page(page: str) -> list[re.Pattern[str]]:
    """What the two tables of the page name, as patterns of paths below a study's folder."""
    section = page[page.index("## What lies where") :].split("\n### ")[0]
    of_study, of_phase = section.split("In the folder of a phase")
    return [
        *(re.compile(_pattern(name)) for name in _names(of_study)),
        *(re.compile(_PHASE + _pattern(name)) for name in _names(of_phase)),
    ]


def _names(table: str) -> list[str]:
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def _pattern(name: str) -> str:
    """Runs and trials are on the map by their own files; of other folders, all that is in them."""
    if name.startswith("runs/"):
        return _RUN + "(?:trials/" + f"(?:{_NAME}/(?:probe/)?)?)?"
    name = re.escape(name)
    return name + "(?:.+)?" if name.endswith("/") else name


def strangers(folder: pathlib.Path, known: list[re.Pattern[str]]) -> list[str]:
    """Files and folders that no pattern names; folders with a slash at their end."""
    paths = [path.relative_to(folder).as_posix() + "/" * path.is_dir()
             for path in folder.rglob("*")]  # fmt: skip
    above = {"runs/"}
    phase = re.compile(_PHASE)
    return sorted(
        path
        for path in paths
        if path not in above
        and not phase.fullmatch(path)
        and not any(pattern.fullmatch(path) for pattern in known)
    )


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """The baseline and one arm, with all the transfers that are tried."""
    config = fine2coarse.load_config(
        "demo:smoke", {"pretrain.total_steps": 4, "transfer.total_steps": 2,
                       "pretrain.optimizer.warmup_steps": 0, "transfer.optimizer.warmup_steps": 0,
                       "pretrain.log_every_steps": 1, "transfer.log_every_steps": 1},
    )  # fmt: skip
    parsed = api.parse_recipe(config)
    return dataclasses.replace(parsed, arms={"fine": parsed.arms["fine"]})


@pytest.fixture(scope="module")
def study(tmp_path_factory, recipe):
    folder = tmp_path_factory.mktemp("real") / "study"
    fine2coarse.run_study(recipe, folder, command=["fine2coarse study", "--config=demo:smoke"])
    return folder


def test_the_map_is_read():
    known = map_of_page(_PAGE.read_text("utf-8"))
    for path in ("recipe.json", "tables/cost.csv", "runs/fine-seed0/", "runs/a-seed1/trials/new/",
                 "runs/fine-seed0/pretrain/metrics.csv", "claims/fine-seed0.000001.json",
                 "runs/fine-seed0/trials/new/probe/checkpoints/step-4.npz"):  # fmt: skip
        assert any(pattern.fullmatch(path) for pattern in known), path
    for path in ("notes.txt", "runs/fine-seed0/notes.txt", "runs/fine-seed0/pretrain/x.npz",
                 "runs/fine/", "runs/fine-seed0/other/metrics.csv"):  # fmt: skip
        assert not any(pattern.fullmatch(path) for pattern in known), path


@pytest.mark.slow
def test_every_file_is_on_the_map(study):
    assert strangers(study, map_of_page(_PAGE.read_text("utf-8"))) == []
    assert (study / "data").is_dir() and (study / "runs" / "fine-seed0" / "trials").is_dir()


@pytest.mark.slow
def test_tensorboards_own_reader_finds_curves_and_results(study):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def scalars(name: str, tag: str) -> list[int]:
        events = EventAccumulator(str(study / "tensorboard" / name))
        events.Reload()
        return [scalar.step for scalar in events.Scalars(tag)]

    for run in ("fine-seed0/pretrain", "fine-seed0/transfer/new", "baseline-seed0/baseline/new"):
        found = scalars(run, "loss")
        assert found == ([1, 2, 3, 4] if "pretrain" in run else [1, 2])
    assert scalars("fine-seed0", "result/error") == [0]


@pytest.mark.slow
def test_cleaning_changes_no_number(study, recipe, tmp_path, told):
    before = write_report(study, out=tmp_path / "before").read_bytes()
    copy = tmp_path / study.name
    shutil.copytree(study, copy, symlinks=True)
    plan = plan_cleaning(copy, with_data=True)
    size = sum(path.stat().st_size for path in copy.rglob("*") if path.is_file())
    clean(plan)
    left = sum(path.stat().st_size for path in copy.rglob("*") if path.is_file())
    assert left < size / 4 and not (copy / "data").exists()
    assert write_report(copy, out=tmp_path / "after").read_bytes() == before
    told()
    fine2coarse.run_study(recipe, copy, data_dir=study / "data")
    assert sum("(done before)" in line for line in told()) == 2
    assert (copy / "results.csv").read_bytes() == (study / "results.csv").read_bytes()
    assert study_state(copy).in_words == "done"
