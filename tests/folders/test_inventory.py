"""What `fine2coarse list` finds, on trees small enough to draw."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from fine2coarse.claims import FAILED, Claims, look
from fine2coarse.errors import UsageError
from fine2coarse.folders.disk import measure
from fine2coarse.folders.inventory import take_inventory
from fine2coarse.folders.search import find_folders
from fine2coarse.folders.states import study_state
from tests.analysis.fake_study import write_study
from tests.folders.trees import MEGABYTE, write_bytes, write_data, write_json, write_phase


@pytest.fixture
def tree(tmp_path):
    """A study with data of its own, a lone run, an export, shared data, and what is to be told."""
    write_study(tmp_path / "runs" / "photos")
    write_data(tmp_path / "runs" / "photos" / "data")
    write_phase(tmp_path / "runs" / "fine")
    write_phase(tmp_path / "runs" / "coarse" / "trials" / "new", is_finished=False)
    write_data(tmp_path / "data", "demo/default/1.0.0")
    write_bytes(tmp_path / "exported" / "fine" / "saved_model.pb", 10)
    write_json(tmp_path / "cooking" / "recipe.json", {"eggs": 2})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "recipe.json").write_text('{"arms": ', encoding="utf-8")
    write_study(tmp_path / ".hidden")
    (tmp_path / "again").symlink_to(tmp_path / "runs")
    return tmp_path


def below(tree, paths):
    return [path.relative_to(tree).as_posix() for path in paths]


def test_each_folder_is_found_once_and_links_are_not_followed(tree):
    found = find_folders([tree, tree / "runs"])
    assert below(tree, found.studies) == ["runs/photos"]
    assert below(tree, found.phases) == ["runs/coarse", "runs/fine"]
    assert below(tree, found.data) == ["data/demo/default/1.0.0",
                                       "runs/photos/data/folder/photos/1.0.0"]  # fmt: skip
    assert below(tree, found.exports) == ["exported/fine"]
    broken, cooking = found.problems
    assert "broken/recipe.json: damaged" in broken
    assert "cooking/recipe.json: neither of a study nor of a phase" in cooking
    with pytest.raises(UsageError, match="nowhere: no such folder"):
        find_folders([tree / "nowhere"])


def test_the_tables(tree):
    shown = take_inventory([tree / "runs"]).table(now=2e9).replace(f"{tree}/", "")
    study = next(line for line in shown.splitlines() if line.startswith("runs/photos "))
    assert study.split()[1:6] == ["folder", "superclass", "done", "fine", "12/12"]
    assert study.split()[6] == "17.00"  # ERRORS of the fake study: the same 17 % at each seed
    lone = next(line for line in shown.splitlines() if line.startswith("runs/fine "))
    assert lone.split()[1:5] == ["pretrain", "fine", "2", "finished"]
    data = next(line for line in shown.splitlines() if line.startswith("runs/photos/data"))
    # The lone runs may have read the study's data: there is no other of that name.
    assert data.split()[1:5] == ["runs/photos,", "runs/coarse,", "runs/fine", "30"]
    records = take_inventory([tree]).as_json()
    assert [one["num_finished"] for one in records["studies"]] == [12]
    assert records["studies"][0]["best_error"] == pytest.approx(0.17)
    assert len(records["problems"]) == 2


def test_data_within_a_study_is_the_one_it_uses(tree):
    write_data(tree / "data")
    users = {one["folder"]: one["used_by"] for one in take_inventory([tree]).as_json()[
        "prepared_data"]}  # fmt: skip
    assert users[f"{tree}/data/demo/default/1.0.0"] == []
    assert users[f"{tree}/data/folder/photos/1.0.0"] == [
        f"{tree}/runs/coarse",
        f"{tree}/runs/fine",
    ]
    assert users[f"{tree}/runs/photos/data/folder/photos/1.0.0"][0] == f"{tree}/runs/photos"


def test_the_states_of_runs(tmp_path):
    folder = write_study(tmp_path / "study", seeds=(0, 1))
    for name in ("fine-seed1", "middle-seed1", "random-seed1"):
        (folder / "runs" / name / "transfer" / "result.json").unlink()
    shutil.rmtree(folder / "runs" / "middle-seed0")
    claims = Claims(folder / "claims")
    held, failed = claims.take("fine-seed1"), claims.take("random-seed1")
    failed.end(FAILED, "loss is not finite")
    before = sorted((folder / "claims").iterdir())
    state = study_state(folder)
    assert sorted((folder / "claims").iterdir()) == before, "looking writes nothing"
    held.withdraw()
    states = {run.name: run.state for run in state.runs if run.state != "finished"}
    assert states == {"fine-seed1": "running", "middle-seed1": "partly",
                      "random-seed1": "failed", "middle-seed0": "to do"}  # fmt: skip
    assert state.in_words == "1 running, 1 failed, 1 partly, 1 to do"
    assert {run.note for run in state.runs if run.state == "failed"} == {"loss is not finite"}
    assert state.best.arm == "fine" and state.best.num_seeds == 1


def test_a_damaged_result_is_told_and_the_rest_is_shown(tmp_path):
    folder = write_study(tmp_path / "study")
    (folder / "runs" / "fine-seed0" / "transfer" / "result.json").write_text("{")
    inventory = take_inventory([tmp_path])
    assert "damaged" in inventory.table() and "12/12" in inventory.table()
    assert "runs/fine-seed0/transfer/result.json: damaged" in inventory.problems[0]


def test_a_claim_of_another_machine_lives_as_long_as_it_is_touched(tmp_path):
    path = tmp_path / "fine-seed0.000003.json"
    write_json(path, {"state": "held", "host": "far", "machine": "far 1 2", "pid": 7})
    write_json(tmp_path / "fine-seed0.000002.json", {"state": "done"})
    assert look(tmp_path)["fine-seed0"].is_alive
    os.utime(path, (1e9, 1e9))
    assert not look(tmp_path)["fine-seed0"].is_alive
    assert look(tmp_path / "none") == {}


def test_a_file_with_two_names_counts_once(tmp_path):
    first = write_bytes(tmp_path / "a" / "weights.h5")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "weights.h5").hardlink_to(first)
    write_bytes(tmp_path / "c" / "weights.h5", 7)
    assert measure(tmp_path).num_bytes == MEGABYTE + 7
    assert measure(tmp_path, [tmp_path / "c"]).num_bytes == MEGABYTE
    os.utime(first, (5.0, 5.0))
    assert measure(tmp_path / "b").changed == 5.0


def test_listing_needs_no_tensorflow():
    code = (
        "import sys, fine2coarse.folders.inventory, fine2coarse.folders.cleaning\n"
        "print([name for name in ('tensorflow', 'keras', 'scipy') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
