"""launch/theory.py as a user meets it."""

from __future__ import annotations

import csv
import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def _launch(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "launch/theory.py", *arguments],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_help_imports_nothing_heavy():
    code = (
        "import runpy, sys\n"
        "sys.argv = ['theory', '--help']\n"
        "try:\n"
        "    runpy.run_path('launch/theory.py', run_name='__main__')\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = ('numpy', 'scipy', 'tensorflow', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip().endswith("[]")
    assert "label_noise" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdr=x"], "Did you mean: workdir"),
        (["--experiment=default"], "--workdir must have a value"),
        (["--workdir=x", "--experiment=defalt"], "did you mean 'default'?"),
        (["--workdir=x", "--experiment=default,granularty"], "did you mean 'granularity'?"),
        (["--workdir=x", "--experiment="], "--experiment is empty"),
        (["--workdir=x", "--num_seeds=0"], "--num_seeds=0"),
        (["--workdir=x", "default"], "unexpected argument 'default'"),
    ],
)
def test_mistakes_fail_at_once(arguments, message):
    shown = _launch(*arguments)
    assert shown.returncode != 0
    assert message in shown.stderr + shown.stdout
    assert "Traceback" not in shown.stderr
    assert not (_ROOT / "x").exists()


def test_known_experiments_are_those_of_the_laboratory():
    from fine2coarse.theory.experiments import SMOKE, all_experiments

    # Flags can be defined once a process; the names alone are read here.
    source = (_ROOT / "launch" / "theory.py").read_text()
    start = source.index("KERAS_PATCHES = ")
    names: dict = {}
    exec(source[start : source.index("_MAX_KERAS_SEEDS")], names)
    assert names["EXPERIMENTS"] == (*all_experiments(SMOKE), "keras_patches")


def test_from_command_to_report_and_back(tmp_path):
    arguments = [f"--workdir={tmp_path}", "--experiment=default", "--smoke", "--num_workers=1"]
    first = _launch(*arguments)
    assert first.returncode == 0, first.stderr
    with (tmp_path / "results" / "default.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["seed"] for row in rows} == {"0", "1"}
    for name in ("default.png", "default_alignment.png"):
        assert (tmp_path / "figures" / name).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "report.html").read_text()
    assert "9 of 9 predictions of the theory hold in every run." in page
    assert page.count("data:image/png;base64,") == 2
    assert not list(tmp_path.rglob("*.tmp"))
    made = (tmp_path / "results" / "default.csv").stat().st_mtime_ns
    second = _launch(*arguments)
    assert "default: read 28 rows" in second.stdout
    assert (tmp_path / "results" / "default.csv").stat().st_mtime_ns == made
    assert (tmp_path / "report.html").read_text() == page
    other = _launch(*arguments, "--num_seeds=3")
    assert other.returncode == 2
    assert "take another --workdir" in other.stderr
