"""launch/theory.py as a user meets it."""

from __future__ import annotations

import csv

import pytest

from fine2coarse.files import is_partial
from tests.launch.programs import ROOT, help_of, launch


def test_help_imports_nothing_heavy():
    heavy = ("numpy", "scipy", "tensorflow", "matplotlib")
    text, imported = help_of("theory", heavy)
    assert "label_noise" in text and not imported


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdr=x"], "Did you mean: workdir"),
        (["--experiment=default"], "--workdir must have a value"),
        (["--workdir=x", "--experiment=defalt"], "did you mean 'default'?"),
        (["--workdir=x", "--experiment=default,granularty"], "did you mean 'granularity'?"),
        (["--workdir=x", "--experiment="], "--experiment is empty"),
        (["--workdir=x", "--num_seeds=0"], "--num_seeds=0"),
        (["--workdir=x", "default"], "unexpected arguments ['default']"),
    ],
)
def test_mistakes_fail_at_once(arguments, message):
    shown = launch("theory", *arguments)
    assert shown.returncode != 0
    assert message in shown.stderr + shown.stdout
    assert "Traceback" not in shown.stderr
    assert not (ROOT / "x").exists()


def test_known_experiments_are_those_of_the_laboratory():
    from fine2coarse.theory.experiments import SMOKE, all_experiments
    from fine2coarse.theory.names import EXPERIMENTS

    assert (*all_experiments(SMOKE), "keras_patches") == EXPERIMENTS


def test_from_command_to_report_and_back(tmp_path):
    arguments = [f"--workdir={tmp_path}", "--experiment=default", "--smoke", "--num_workers=1"]
    first = launch("theory", *arguments)
    assert first.returncode == 0, first.stderr
    with (tmp_path / "results" / "default.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["seed"] for row in rows} == {"0", "1"}
    for name in ("default.png", "default_alignment.png"):
        assert (tmp_path / "figures" / name).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "report.html").read_text()
    assert "9 of 9 predictions of the theory hold in every run." in page
    assert page.count("data:image/png;base64,") == 2
    assert not [path for path in tmp_path.rglob("*") if is_partial(path.name)]
    made = (tmp_path / "results" / "default.csv").stat().st_mtime_ns
    second = launch("theory", *arguments)
    assert "default: read 28 rows" in second.stderr
    assert (tmp_path / "results" / "default.csv").stat().st_mtime_ns == made
    assert (tmp_path / "report.html").read_text() == page
    other = launch("theory", *arguments, "--num_seeds=3")
    assert other.returncode == 2
    assert "take another --workdir" in other.stderr
