"""Where TensorFlow is not installed: a study from a pack on JAX, and one line for all else."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from fine2coarse.cli.commands import programs
from tests import without_tensorflow
from tests.launch.programs import launch
from tests.launch.test_preemption import weights

_SMOKE = "--config=demo:smoke"
# What a study from a pack, its report and predictions consist of.
_ON_THE_WAY = (
    "analysis.winner", "api", "cli.study_command", "folders.inventory", "hub.backbone",
    "input.feeds", "packs.pack", "prediction.loaded_model", "report.document",
    "runs.claimed_run", "runs.execution", "runs.pretrained", "studies.dry_run", "studies.mirror",
    "studies.open_study", "studies.study", "studies.tested_images", "sweeps",
    "training.jax.engine", "training.loop",
)  # fmt: skip


def test_what_is_missing_is_missing():
    code = (
        "import importlib.metadata as metadata, importlib.util as util\n"
        "print(util.find_spec('tensorflow'), util.find_spec('keras') is not None)\n"
        "try:\n    metadata.version('tensorflow')\n"
        "except metadata.PackageNotFoundError:\n    print('no version')\n"
        "print(metadata.version('keras')[:2])\n"
        "import tensorflow\n"
    )
    shown = without_tensorflow.run("-c", code)
    assert shown.stdout.split("\n") == ["None True", "no version", "3.", ""]
    assert shown.stderr.endswith("ModuleNotFoundError: No module named 'tensorflow'\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(programs()))
def test_every_program_tells_its_flags(name):
    shown = without_tensorflow.run(f"launch/{name}.py", "--help")
    assert f"launch/{name}.py" in shown.stdout and not shown.stderr


@pytest.mark.slow
def test_all_that_is_on_the_way_is_imported():
    imports = "\n".join(f"import fine2coarse.{name}" for name in _ON_THE_WAY)
    code = f"{imports}\nimport sys\nprint(sys.modules['keras'].backend.backend())"
    code += "\nprint('tensorflow_datasets' in sys.modules)"
    shown = without_tensorflow.run("-c", code)
    assert (shown.stdout, shown.stderr) == ("jax\nFalse\n", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "arguments", "told"),
    [
        ("study", [_SMOKE], "reading a prepared dataset needs TensorFlow"),
        ("study", [_SMOKE, "--backend=tensorflow"], "the backend is TensorFlow, which is not"),
        ("embed", ["--dataset=demo", "--hub=x", "--out=e.npy"], "embed needs TensorFlow"),
        ("export", ["--run=x", "--out=y"], "export needs TensorFlow"),
        ("levels", ["--dataset=demo"], "reading a dataset needs TensorFlow"),
        ("pack", [_SMOKE, "--out=OUT"], "packing needs TensorFlow"),
        ("theory", ["--experiment=keras_patches", "--smoke"], "the experiment keras_patches needs"),
    ],
)
def test_what_needs_tensorflow_says_so_in_one_line(tmp_path, program, arguments, told):
    arguments = [argument.replace("OUT", str(tmp_path / "out")) for argument in arguments]
    if program in ("study", "theory"):
        arguments.append(f"--workdir={tmp_path / 'run'}")
    shown = without_tensorflow.run(f"launch/{program}.py", *arguments)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.startswith(f"error: {told}") and shown.stderr.count("\n") == 1
    assert "fine2coarse[cpu]" in shown.stderr


@pytest.fixture(scope="module")
def pack(tmp_path_factory) -> pathlib.Path:
    """The images of the demo's smallest card, packed where TensorFlow is."""
    folder = tmp_path_factory.mktemp("packed")
    shown = launch("pack", _SMOKE, f"--out={folder / 'pack'}", f"--data_dir={folder / 'data'}")
    assert shown.returncode == 0, shown.stderr
    return folder / "pack"


def _study(pack: pathlib.Path, workdir: pathlib.Path) -> tuple[str, ...]:
    return (
        "launch/study.py", _SMOKE, f"--packed={pack}", f"--workdir={workdir}",
        "--arm=fine", "--transfer_candidates=off", "--config.pretrain.total_steps=120",
    )  # fmt: skip


def _killed_amid(command: tuple[str, ...], status: pathlib.Path, cache: str) -> None:
    """Starts a study and kills it when its pretraining has taken some steps."""
    process = subprocess.Popen(
        without_tensorflow.command(*command),
        cwd=without_tensorflow.ROOT,
        env=without_tensorflow.environment(XDG_CACHE_HOME=cache),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not status.exists() or json.loads(status.read_text())["step"] < 4:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait(timeout=60)


@pytest.mark.slow
def test_a_study_from_a_pack_goes_on_after_a_kill_to_the_same_bytes(pack, tmp_path):
    whole, cut, cache = tmp_path / "whole", tmp_path / "cut", str(tmp_path / "cache")
    shown = without_tensorflow.run(*_study(pack, whole), XDG_CACHE_HOME=cache)
    assert shown.returncode == 0, shown.stderr
    phase = "runs/fine-seed0/pretrain"
    _killed_amid(_study(pack, cut), cut / phase / "status.json", cache)
    assert not (cut / phase / "result.json").exists()
    shown = without_tensorflow.run(*_study(pack, cut), XDG_CACHE_HOME=cache)
    assert shown.returncode == 0, shown.stderr
    for name in (phase, "runs/fine-seed0/transfer"):
        assert weights(cut / name / "model.weights.h5") == weights(
            whole / name / "model.weights.h5"
        )
    assert "<img" in (cut / "report.html").read_text("utf-8")
    noted = json.loads((cut / phase / "recipe.json").read_text())["environment"]
    assert noted["keras"]["backend"] == "jax" and "tensorflow" not in noted["versions"]
    assert list((tmp_path / "cache" / "fine2coarse" / "jax").glob("*/*-cache"))

    # The same run where TensorFlow is: the numbers are its own.
    photo = cut / "photo.png"
    _draw(photo)
    arguments = (f"--run={cut}", "--top=4", str(photo))
    ours = without_tensorflow.run("launch/predict.py", *arguments, XDG_CACHE_HOME=cache)
    theirs = launch("predict", *arguments, "--backend=tensorflow")
    (first, *here), (second, *there) = (
        text.splitlines()[1].split(",") for text in (ours.stdout, theirs.stdout)
    )
    assert first == second == str(photo)
    assert here[::2] == there[::2]
    assert [*map(float, here[1::2])] == pytest.approx([*map(float, there[1::2])], abs=1e-4)


def _draw(path: pathlib.Path) -> None:
    """A photograph of the demo's size, so that nothing is resized."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.mark.slow
def test_the_same_study_on_jax_where_tensorflow_is_too(pack, tmp_path):
    arguments = (f"--workdir={tmp_path / 'study'}", "--arm=fine", "--transfer_candidates=off")
    shown = subprocess.run(
        [
            sys.executable,
            "launch/study.py",
            _SMOKE,
            f"--packed={pack}",
            "--backend=jax",
            *arguments,
        ],
        cwd=without_tensorflow.ROOT,
        env=without_tensorflow.environment(
            XDG_CACHE_HOME=str(tmp_path), KERAS_BACKEND="tensorflow"
        ),
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    path = tmp_path / "study" / "runs" / "fine-seed0" / "pretrain" / "recipe.json"
    noted = json.loads(path.read_text())["environment"]
    assert noted["keras"]["backend"] == "jax" and "tensorflow" in noted["versions"]
    told = shown.stderr.splitlines()
    assert not [line for line in told if "absl::" in line or "oneDNN" in line], told
