"""One study by several processes: nothing twice, nothing lost, the same numbers."""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import subprocess
import time

import pytest

from tests.launch.programs import launch, start
from tests.launch.test_launchers import numbers

ARMS = ["baseline", "fine", "middle", "per_image", "random"]
_PATIENCE_S = 1200.0
_RUN = re.compile(r"run \d/5 (\w+) seed 0: .* error [\d.]+ % \([^()]*\)$", re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard=2/2"], "--shard is i/n"),
        (["--arm=fin"], "did you mean 'fine'"),
        (["--strategy=multi_worker"], "a study spreads whole runs"),
    ],
)
def test_mistakes_are_told_before_any_work(tmp_path, arguments, message):
    workdir = tmp_path / "w"
    shown = launch("study", "--config=configs/demo.py:smoke", f"--workdir={workdir}", *arguments)
    assert shown.returncode == 2 and message in shown.stderr
    assert not workdir.exists()


@pytest.mark.slow
def test_the_list_is_one_quoted_command_a_run(tmp_path):
    workdir = tmp_path / "odd name; $(x)"
    shown = launch(
        "study", "--config=configs/demo.py:smoke", f"--workdir={workdir}", "--list", "--jobs=2"
    )
    assert shown.returncode == 0, shown.stderr
    commands = [shlex.split(line) for line in shown.stdout.splitlines()]
    assert [command[-2:] for command in commands] == [
        [f"--arm={arm}", "--seed=0"]
        for arm in ("baseline", "fine", "middle", "per_image", "random")
    ]
    assert all(f"--workdir={workdir}" in command for command in commands)
    assert not any("--jobs=2" in command or "--list" in command for command in commands)
    assert not workdir.exists()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Two runs of a study as one process does them: flags, workdir and rows."""
    folder = tmp_path_factory.mktemp("alone")
    flags = [
        "--config=configs/demo.py:smoke", "--arm=baseline,fine", "--transfer_candidates=off",
        f"--data_dir={folder / 'd'}",
    ]  # fmt: skip
    process = start("study", *flags, f"--workdir={folder / 'w'}", out=folder / "out")
    assert process.wait(_PATIENCE_S) == 0, (folder / "out").read_text()
    return flags, folder / "w", numbers(folder / "w")


def wait_for(condition, *processes: subprocess.Popen) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


def holder_of(workdir: pathlib.Path, name: str) -> int:
    """Process id in the newest claim."""
    return json.loads(max(workdir.glob(f"claims/{name}.*.json")).read_text())["pid"]


@pytest.mark.slow
def test_two_processes_one_killed(alone, tmp_path):
    """One is killed amid a run; the other does the rest, and goes on with what was left."""
    flags, _, expected = alone
    workdir, outs = tmp_path / "w", [tmp_path / "a", tmp_path / "b"]
    arguments = [*flags, f"--workdir={workdir}"]
    both = [start("study", *arguments, out=out) for out in outs]
    wait_for(lambda: list(workdir.glob("runs/baseline-seed0/*/checkpoints/step-4.npz")), *both)
    victim = next(p for p in both if p.pid == holder_of(workdir, "baseline-seed0"))
    victim.kill()
    (other,) = [process for process in both if process is not victim]
    assert other.wait(_PATIENCE_S) == 0, [out.read_text() for out in outs]
    done = _RUN.findall("".join(out.read_text() for out in outs))
    assert sorted(done) == ["baseline", "fine"], "nothing twice, nothing lost"
    assert "baseline" in outs[both.index(other)].read_text()
    assert numbers(workdir) == expected
    before = (workdir / "results.csv").read_bytes()
    again = start("study", *arguments, out=tmp_path / "again")
    assert again.wait(_PATIENCE_S) == 0
    assert (tmp_path / "again").read_text().count("(done before)") == 2
    assert (workdir / "results.csv").read_bytes() == before


@pytest.mark.slow
def test_a_plan_is_printed_and_nothing_written(alone, tmp_path):
    flags, workdir, _ = alone
    before = sorted((path, path.stat().st_mtime_ns) for path in workdir.rglob("*"))
    shown = start("study", *flags, f"--workdir={workdir}", "--dry_run", out=tmp_path / "done")
    assert shown.wait(_PATIENCE_S) == 0
    assert "2 finished, 0 partly, 0 to do" in (tmp_path / "done").read_text()
    assert sorted((path, path.stat().st_mtime_ns) for path in workdir.rglob("*")) == before
    shown = start(
        "study", *flags, f"--workdir={tmp_path / 'new'}", "--dry_run", out=tmp_path / "new.txt"
    )
    assert shown.wait(_PATIENCE_S) == 0
    text = (tmp_path / "new.txt").read_text()
    assert "0 finished, 0 partly, 2 to do" in text and "12 + 8" in text and "?" not in text
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_the_papers_plan_without_its_data(tmp_path):
    out = tmp_path / "out"
    process = start("study",
        "--config=configs/paper_inat2021.py", f"--workdir={tmp_path / 'w'}", "--dry_run",
        "--arm=genus,per_image", out=out,
    )  # fmt: skip
    assert process.wait(_PATIENCE_S) == 0, out.read_text()
    text = out.read_text()
    assert "is not prepared" in text and "4,900" in text and "0 finished, 0 partly, 6 to do" in text
    assert "NVIDIA A100" in text and "estimate from FLOPs" in text
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_jobs_give_the_same_numbers(alone, tmp_path):
    flags, _, expected = alone
    out = tmp_path / "out"
    process = start("study", *flags, f"--workdir={tmp_path / 'w'}", "--jobs=2", out=out)
    assert process.wait(_PATIENCE_S) == 0, out.read_text()
    shown = out.read_text()
    assert "[job 0] run " in shown and "[job 1] run " in shown
    assert "2 of 5 runs are finished" in shown
    assert numbers(tmp_path / "w") == expected
