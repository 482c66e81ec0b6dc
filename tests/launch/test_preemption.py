"""SIGTERM to the launchers: exit code 75, and the same command ends with the same weights."""

from __future__ import annotations

import json
import pathlib
import time

import h5py
import pytest

from tests.launch.programs import launch, start


def weights(path: pathlib.Path) -> dict[str, bytes]:
    """The bytes of every array in a weights file."""
    found = {}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tobytes()

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def terminate_amid(program: str, arguments: list[str], status: pathlib.Path) -> int:
    """Starts a launcher, sends SIGTERM once a run has taken some steps; returns the exit code."""
    process = start(program, *arguments)
    deadline = time.monotonic() + 300
    while not _has_begun(status):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.terminate()
    return process.wait(timeout=120)


def _has_begun(status: pathlib.Path) -> bool:
    try:
        return json.loads(status.read_text())["step"] >= 4
    except (FileNotFoundError, json.JSONDecodeError):
        return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "runs"),
    [("pretrain", [""]), ("study", ["runs/fine-seed0/pretrain", "runs/fine-seed0/transfer"])],
)
def test_goes_on_to_the_same_bytes(tmp_path, program, runs):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    arguments = [
        "--config=configs/demo.py:smoke", f"--data_dir={tmp_path / 'data'}", "--arm=fine",
        "--config.pretrain.total_steps=200", "--transfer_candidates=off",
    ]  # fmt: skip
    shown = launch(program, *arguments, f"--workdir={whole}")
    assert shown.returncode == 0, shown.stderr
    arguments.append(f"--workdir={cut}")
    assert terminate_amid(program, arguments, cut / runs[0] / "status.json") == 75
    status = json.loads((cut / runs[0] / "status.json").read_text())
    assert status["state"] == "preempted" and 4 <= status["step"] < 200
    shown = launch(program, *arguments)
    assert shown.returncode == 0, shown.stderr
    for run in runs:
        ours, theirs = (weights(folder / run / "model.weights.h5") for folder in (cut, whole))
        assert ours == theirs and ours
