"""A launcher that is started twice at once on one folder or file: the second one is refused."""

from __future__ import annotations

import os
import pathlib
import re

import pytest

from fine2coarse.claims import AlreadyHeld, hold, hold_file
from fine2coarse.runs.claimed_run import hold_run
from fine2coarse.runs.phase_folder import RECIPE, PhaseFolder
from tests.launch.programs import launch

_LAUNCH = pathlib.Path(__file__).resolve().parents[2] / "launch"

_READ_ONLY = {"levels", "list", "fields", "backbones"}
_OTHERWISE = {
    "study": "claims every run",
    "prepare": "datasets/preparing.py does: test_preparation_claim.py",
    "cloud_tpu": "the machine's name is taken: test_cloud_tpu.py",
    "clean": "leaves alone what is claimed: folders/test_cleaning.py",
    "predict": "writes one file, whole, the last one stays",
    "wordnet_table": "writes the same text, whole, whoever does it",
}


def test_every_launcher_that_writes_claims_what_it_writes():
    for path in _LAUNCH.glob("[a-z]*.py"):
        if path.stem not in {*_READ_ONLY, *_OTHERWISE}:
            assert re.search(r"with hold(_\w+)?\(", path.read_text("utf-8")), path.name


def test_a_run_is_held_and_free_again(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with (
        hold_run(tmp_path / "run", "auto"),
        pytest.raises(AlreadyHeld, match=r"--workdir=.*run is being written"),
        hold_run(tmp_path / "run", "auto"),
    ):
        pass
    with hold_run(tmp_path / "run", "auto"):
        pass


def test_the_workers_of_one_run_are_let_in_each_once(tmp_path, monkeypatch):
    text = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": %d}}'
    monkeypatch.setenv("TF_CONFIG", text % 0)
    with hold_run(tmp_path, "auto"):
        monkeypatch.setenv("TF_CONFIG", text % 1)
        with hold_run(tmp_path, "auto"):
            with pytest.raises(AlreadyHeld), hold_run(tmp_path, "auto"):
                pass
            monkeypatch.delenv("TF_CONFIG")
            with pytest.raises(AlreadyHeld), hold_run(tmp_path, "auto"):
                pass


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("study", ["--config=demo:smoke", "--workdir={tmp}/w"]),
        ("embed", ["--dataset=demo", "--npy=x.npy", "--out={tmp}/e.npy"]),
    ],
)
def test_a_program_that_trains_no_run_is_no_worker(tmp_path, monkeypatch, program, arguments):
    monkeypatch.setenv("TF_CONFIG", "{}")
    shown = launch(program, *(argument.format(tmp=tmp_path) for argument in arguments))
    assert shown.returncode == 2
    assert "TF_CONFIG or --strategy makes this process one of several" in shown.stderr
    assert not list(tmp_path.iterdir())


def test_the_claims_in_a_run_are_not_taken_along(tmp_path):
    """A finished run is made another folder's own by hard links: its claims stay behind."""
    first, second = PhaseFolder(tmp_path / "a"), PhaseFolder(tmp_path / "b")
    with hold(first.path / "claims", "run", "a"), hold_file(first.path / "x.npz"):
        first.bind({"purpose": "pretrain"})
        first.write_result({"loss": 1.0})
        second.adopt(first, {})
    assert sorted(path.name for path in second.path.iterdir()) == ["recipe.json", "result.json"]


def test_the_second_report_is_refused(tmp_path):
    (tmp_path / RECIPE).write_text("{}")
    with hold(tmp_path / "claims", "report", "the report"):
        shown = launch("report", f"--workdir={tmp_path}")
    assert shown.returncode == 2
    assert f"process {os.getpid()}" in shown.stderr and shown.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_second_pretraining_is_refused(tmp_path):
    arguments = ["--config=configs/demo.py:smoke", "--arm=fine", f"--workdir={tmp_path / 'run'}"]
    with hold(tmp_path / "run" / "claims", "run", "the run"):
        shown = launch("pretrain", *arguments)
    assert shown.returncode == 2
    assert f"process {os.getpid()}" in shown.stderr and shown.stderr.count("\n") == 1
    assert not (tmp_path / "run" / RECIPE).exists()
