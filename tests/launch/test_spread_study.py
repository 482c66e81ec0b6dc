"""One study by several processes: nothing twice, nothing lost, the same numbers."""

from __future__ import annotations

import re
import shlex
import signal
import time

import pytest

from tests.launch.programs import launch, start
from tests.launch.test_launchers import numbers

ARMS = ["baseline", "fine", "middle", "per_image", "random"]
_RUN = re.compile(r"run \d/5 (\w+) seed 0: .* error [\d.]+ %$", re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard=2/2"], "--shard is i/n"),
        (["--arm=fin"], "did you mean 'fine'"),
        (["--strategy=multi_worker"], "start one process a host"),
    ],
)
def test_mistakes_are_told_before_any_work(tmp_path, arguments, message):
    workdir = tmp_path / "w"
    shown = launch("study", "--config=configs/demo.py:smoke", f"--workdir={workdir}", *arguments)
    assert shown.returncode == 2 and message in shown.stderr
    assert not workdir.exists()


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


@pytest.mark.slow
def test_two_processes_one_killed(tmp_path):
    """The victim is killed amid a run; the other takes it over at once, from its checkpoint."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    data = f"--data_dir={tmp_path / 'data'}"
    config = "--config=configs/demo.py:smoke"
    shown = launch("study", config, data, f"--workdir={alone}")
    assert shown.returncode == 0, shown.stderr
    outs = [tmp_path / "victim.txt", tmp_path / "other.txt"]
    victim = start("study", config, data, f"--workdir={shared}", out=outs[0])
    deadline = time.monotonic() + 400
    while not list(shared.glob("runs/*/*/checkpoints/step-4.npz")):
        assert victim.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    victim.send_signal(signal.SIGSTOP)  # amid a run, while the other starts
    other = start("study", config, data, f"--workdir={shared}", out=outs[1])
    while "waiting for" not in outs[1].read_text() and not list(
        shared.glob("runs/*/*/result.json")
    ):
        assert other.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    victim.kill()
    victim.wait()
    assert other.wait(timeout=400) == 0, outs[1].read_text()
    done = _RUN.findall("".join(out.read_text() for out in outs))
    assert sorted(done) == ARMS
    assert numbers(shared) == numbers(alone)
    assert (shared / "report.html").is_file()
    again = (shared / "results.csv").read_bytes()
    shown = launch("study", config, data, f"--workdir={shared}")
    assert shown.returncode == 0 and shown.stdout.count("(done before)") == 5
    assert (shared / "results.csv").read_bytes() == again


@pytest.mark.slow
def test_jobs_and_shards_give_the_same_numbers(tmp_path):
    arguments = ["--config=configs/demo.py:smoke", f"--data_dir={tmp_path / 'data'}"]
    arguments.append(f"--workdir={tmp_path / 'w'}")
    share = launch("study", *arguments, "--shard=0/2", "--nowait")
    assert share.returncode == 0, share.stderr
    assert "3 of 5 runs are finished" in share.stdout
    assert not (tmp_path / "w" / "report.html").exists()
    rest = launch("study", *arguments, "--jobs=2")
    assert rest.returncode == 0, rest.stdout + rest.stderr
    assert "[job 0] " in rest.stdout and "[job 1] " in rest.stdout
    assert rest.stdout.count("report: ") == 1
    assert len(numbers(tmp_path / "w")) == 5
