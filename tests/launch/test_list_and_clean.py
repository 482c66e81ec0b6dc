"""`list` and `clean` as a user meets them."""

from __future__ import annotations

import json

import pytest

from tests.folders.trees import write_data, write_heavy_study
from tests.launch.programs import help_of, launch


@pytest.fixture
def study(tmp_path):
    return write_heavy_study(tmp_path / "runs" / "photos")


def test_what_there_is_is_listed(study, tmp_path):
    write_data(tmp_path / "data")
    shown = launch("list", str(tmp_path))
    assert shown.returncode == 0
    assert f"{study}  folder  superclass  done" in shown.stdout
    listed = json.loads(launch("list", str(tmp_path), "--format=json").stdout)
    assert listed["prepared_data"][0]["used_by"] == [str(study)]
    (tmp_path / "empty").mkdir()
    assert "no studies, runs" in launch("list", str(tmp_path / "empty")).stdout
    shown = launch("list", str(tmp_path / "nowhere"))
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "nowhere: no such folder" in shown.stderr


def test_a_study_is_cleaned_only_when_told_to(study):
    shown = launch("clean", f"--workdir={study}")
    assert "16.0 MB" in shown.stdout and "add --execute" in shown.stderr
    assert len(list(study.glob("runs/*/pretrain/checkpoints"))) == 6
    shown = launch("clean", f"--workdir={study}", "--execute")
    assert "deleted: 18 files, 16.0 MB freed" in shown.stdout
    assert not list(study.glob("runs/*/pretrain/checkpoints"))
    assert "nothing to delete" in launch("clean", f"--workdir={study}").stdout
    shown = launch("clean", f"--workdir={study}", "--data", "--execute")
    assert shown.returncode == 2 and "no prepared data in" in shown.stderr


@pytest.mark.parametrize("program", ["list", "clean"])
def test_their_help_is_light(program):
    text, imported = help_of(program)
    assert imported == [] and "--" in text
