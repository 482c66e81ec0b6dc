"""A run begun on TensorFlow goes on and is transferred on JAX, and is exported on TensorFlow."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import time

import pytest

from tests.launch.programs import ROOT, launch

_SMOKE = "--config=demo:smoke"


def killed_amid(command: list[str], workdir: pathlib.Path) -> None:
    """Starts a program and kills it once it has written a checkpoint."""
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(workdir.glob("checkpoints/step-*.npz")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait(timeout=60)


def on_jax(program: str, *arguments: str) -> str:
    """Runs a launcher to its end in a process of its own; what it says besides its results."""
    shown = subprocess.run(
        [sys.executable, f"launch/{program}.py", *arguments, "--backend=jax"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert shown.returncode == 0, shown.stderr
    return shown.stderr


@pytest.mark.slow
def test_begun_on_tensorflow_transferred_on_jax_exported_on_tensorflow(tmp_path):
    pretrained, data_dir = tmp_path / "pretrained", f"--data_dir={tmp_path / 'data'}"
    arguments = [
        _SMOKE, data_dir, "--arm=fine", f"--workdir={pretrained}",
        "--config.pretrain.total_steps=200", "--config.pretrain.checkpoint_every_steps=10",
    ]  # fmt: skip
    killed_amid(
        [sys.executable, "launch/pretrain.py", *arguments, "--backend=tensorflow"], pretrained
    )
    assert not (pretrained / "result.json").exists()
    told = on_jax("pretrain", *arguments)
    assert "goes on in another environment (backend jax, before tensorflow" in told
    noted = json.loads((pretrained / "recipe.json").read_text())
    assert noted["environment"]["keras"]["backend"] == "tensorflow"
    rows = (pretrained / "metrics.csv").read_text().splitlines()[1:]
    steps = [int(row.split(",")[0]) for row in rows]
    assert steps == sorted(set(steps)) and steps[-1] == 200  # none is lost and none twice

    transferred = tmp_path / "transferred"
    on_jax("transfer", _SMOKE, data_dir, f"--pretrained={pretrained}", f"--workdir={transferred}")
    shown = launch("export", f"--run={transferred}", f"--out={tmp_path / 'export'}", "--head")
    assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "export" / "saved_model.pb").is_file()
