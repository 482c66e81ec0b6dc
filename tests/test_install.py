"""Each extra, as pip's resolver sees it: exactly one TensorFlow."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_TENSORFLOWS = {"tensorflow", "tensorflow-cpu", "tensorflow-tpu"}


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extras", "wanted"),
    [
        ("cpu", {"tensorflow", "keras-hub", "tensorflow-text"}),
        ("gpu", {"tensorflow", "nvidia-cuda-runtime-cu12"}),
        ("tpu", {"tensorflow-tpu"}),
        ("cpu,clusters", {"tensorflow", "faiss-cpu"}),
        ("cpu,test", {"tensorflow", "pytest", "dill"}),
        ("cpu,dev", {"tensorflow", "ruff"}),
    ],
)
def test_each_extra_brings_one_tensorflow(tmp_path, extras, wanted):
    report = tmp_path / "report.json"
    shown = resolve(extras, report)
    if shown.returncode:
        if "ResolutionImpossible" in shown.stderr or "conflict" in shown.stderr:
            pytest.fail(shown.stderr)
        pytest.skip(f"pip could not ask the package index: {shown.stderr[-300:]}")
    names = resolved_names(report)
    assert wanted <= names
    assert len(names & _TENSORFLOWS) == 1


@pytest.mark.slow
def test_two_tensorflows_are_refused(tmp_path):
    shown = resolve("cpu,tpu", tmp_path / "report.json")
    if "conflict" not in shown.stderr and shown.returncode:
        pytest.skip(f"pip could not ask the package index: {shown.stderr[-300:]}")
    assert shown.returncode != 0
