"""Installed: an extra brings one TensorFlow or none, and a wheel holds all that commands need."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib

import pytest
from packaging.requirements import Requirement

import fine2coarse

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_TENSORFLOWS = {"tensorflow", "tensorflow-cpu", "tensorflow-tpu"}
_NEED_TENSORFLOW = {"keras-hub", "tensorflow-hub", "tensorflow-text", "tf-keras"}


def resolve(extras: str, report: pathlib.Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"]
        + ["--report", str(report), f"{_ROOT}[{extras}]"],
        capture_output=True,
        text=True,
        timeout=600,
    )


def resolved_names(report: pathlib.Path) -> set[str]:
    items = json.loads(report.read_text())["install"]
    return {item["metadata"]["name"].lower().replace("_", "-") for item in items}


def names_brought_by(extras: str, report: pathlib.Path) -> set[str]:
    """What pip would install with these extras; skips where it cannot reach the package index."""
    shown = resolve(extras, report)
    if shown.returncode:
        if "ResolutionImpossible" in shown.stderr or "conflict" in shown.stderr:
            pytest.fail(shown.stderr)
        pytest.skip(f"pip could not ask the package index: {shown.stderr[-300:]}")
    return resolved_names(report)


def requirements() -> list[Requirement]:
    """What pyproject.toml asks for, in every extra, without its own extras."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    listed = [*project["dependencies"], *itertools.chain.from_iterable(extras)]
    return [one for one in map(Requirement, listed) if one.name != "fine2coarse"]


def explained_bounds() -> dict[str, str]:
    """Package → its bounds in BUILD.md's table of dependencies; one cell may hold several."""
    text = (_ROOT / "BUILD.md").read_text("utf-8")
    part = text.partition("### Why each dependency is here")[2].partition("\n###")[0]
    found = {}
    for row in (line.strip("| ").split(" | ") for line in part.splitlines()[4:] if "|" in line):
        names = [name.strip() for name in re.split("[,;]", re.sub(r"\(.*?\)", "", row[0]))]
        bounds = [bound.strip() for bound in row[1].split(",")]
        assert len(bounds) in (1, len(names)) and row[2].strip(), row
        found |= dict(zip(names, bounds * (len(names) // len(bounds)), strict=True))
    return found


def test_every_dependency_has_its_reason_and_its_bounds():
    explained = explained_bounds()
    asked = requirements()
    assert {one.name for one in asked} == set(explained)
    for one in asked:
        limits = {limit.operator: limit.version for limit in one.specifier}
        lower, _, upper = explained[one.name].replace(" … ", "–").partition("–")
        if lower in ("below 82", "as TensorFlow"):
            continue
        digits = lower.split(".")
        assert limits[">="].split(".")[: len(digits)] == digits, one
        assert not upper or int(limits["<"].split(".")[0]) == int(upper) + 1, one


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extras", "wanted"),
    [
        ("cpu", {"tensorflow", "keras-hub", "tensorflow-text"}),
        ("gpu", {"tensorflow", "nvidia-cuda-runtime-cu12"}),
        ("gpu,jax-gpu", {"tensorflow", "jax-cuda12-plugin"}),
        ("tpu", {"tensorflow-tpu", "libtpu"}),
        ("presets", {"tensorflow", "keras-hub", "tensorflow-text"}),
        ("cpu,beam", {"tensorflow", "apache-beam"}),
        # With all of `dev`, `test`, `clusters`, `jax`, `docs` and `notebook`.
        ("cpu,dev,docs", {"tensorflow", "jax", "ruff", "pytest-xdist", "faiss-cpu", "mkdocs"}),
    ],
)
def test_each_extra_brings_one_tensorflow(tmp_path, extras, wanted):
    names = names_brought_by(extras, tmp_path / "report.json")
    assert wanted <= names
    assert len(names & _TENSORFLOWS) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extras", "wanted"),
    [
        ("jax", {"jaxlib", "keras", "tensorboard", "tensorflow-datasets"}),
        ("jax-gpu", {"jax-cuda12-plugin", "nvidia-cudnn-cu12"}),
        ("jax-tpu", {"libtpu"}),
        ("jax,dev,docs", {"ruff", "pytest-xdist", "mkdocs"}),
    ],
)
def test_the_extras_of_jax_bring_no_tensorflow(tmp_path, extras, wanted):
    names = names_brought_by(extras, tmp_path / "report.json")
    assert {"jax", *wanted} <= names
    assert not names & (_TENSORFLOWS | _NEED_TENSORFLOW)


@pytest.mark.slow
def test_tensorflow_datasets_is_imported_without_tensorflow():
    code = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())
import tensorflow_datasets as tfds
print(tfds.core.GeneratorBasedBuilder.__name__, tfds.features.FeaturesDict.__name__)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["GeneratorBasedBuilder", "FeaturesDict"]


@pytest.mark.slow
def test_two_tensorflows_are_refused(tmp_path):
    shown = resolve("cpu,tpu", tmp_path / "report.json")
    if "conflict" not in shown.stderr and shown.returncode:
        pytest.skip(f"pip could not ask the package index: {shown.stderr[-300:]}")
    assert shown.returncode != 0


def test_what_is_declared():
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    frameworks = {"cpu", "gpu", "tpu", "jax", "jax-gpu", "jax-tpu", "presets"}
    others = {"clusters", "beam", "docs", "notebook", "test", "dev"}
    assert frameworks | others <= set(extras)
    assert project["scripts"] == {"fine2coarse": "fine2coarse.cli.commands:main"}
    # A bound on both sides, or a part of ours.
    for name in (*project["dependencies"], *(n for names in extras.values() for n in names)):
        assert name.startswith("fine2coarse[") or (">=" in name and "<" in name), name


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> pathlib.Path:
    """The wheel in a virtual environment of its own; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("fine2coarse", "configs", "launch"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(_ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(_ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run([*pip, *built], check=True)
    (wheel,) = folder.glob("*.whl")
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    python = str(venv / "bin" / "python")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", str(wheel)], check=True)
    return venv / "bin" / "fine2coarse"


def command(program: pathlib.Path, folder: pathlib.Path, *arguments: str) -> str:
    """What the installed command prints when it is run in a folder."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "TFDS_DATA_DIR")}
    shown = subprocess.run(
        [str(program), *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


@pytest.mark.slow
def test_the_wheel_works_from_an_empty_folder(installed, tmp_path):
    assert command(installed, tmp_path, "--version").split()[1] == fine2coarse.__version__
    assert "  study " in command(installed, tmp_path, "--help")
    levels = command(installed, tmp_path, "levels", "--taxonomy=imagenet21k", "--format=json")
    assert [level["num_classes"] for level in json.loads(levels)[:2]] == [21843, 5995]
    assert "--jobs" in command(installed, tmp_path, "study", "--help")
    assert "demo" in command(installed, tmp_path, "completion", "bash")
    flags = ["--config=demo:smoke", "--arm=baseline", "--transfer_candidates=off"]
    shown = command(installed, tmp_path, "study", *flags, "--workdir=runs/demo")
    assert shown.splitlines()[0].startswith("partial: 1 of 5 runs is finished; missing: ")
    assert shown.splitlines()[-1] == "report: runs/demo/report.html"
    again = command(installed, tmp_path, "report", "--workdir=runs/demo")
    assert again.splitlines()[-1] == "report: runs/demo/report.html"
    page = (tmp_path / "runs" / "demo" / "report.html").read_text("utf-8")
    assert "fine2coarse study --config=demo:smoke" in page
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    (package,) = installed.parents[1].glob("lib/python*/site-packages/fine2coarse")
    assert (package / "configs" / "throughput.csv").is_file()
    assert (package / "launch" / "cluster" / "slurm_array.sh").is_file()


@pytest.mark.slow
def test_the_cloud_needs_a_checkout(installed, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    shown = subprocess.run(
        [str(installed), "cloud-tpu", "--name=a", "--zone=b", "--", "launch/study.py"],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert shown.returncode == 2 and "without one: clone the project" in shown.stderr
