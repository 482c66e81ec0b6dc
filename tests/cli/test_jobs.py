"""Several processes of one command: who gets what, what is passed on, and which one failed."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
from absl import flags

from fine2coarse.cli import jobs, startup
from fine2coarse.errors import FailedError, TryAgainError, UsageError

_ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def some_flags():
    flags.DEFINE_integer("test_jobs", 1, "")
    flags.DEFINE_boolean("test_report", True, "")


def test_flags_are_taken_out_in_all_their_spellings():
    arguments = [
        "--config=c.py", "--test_jobs=3", "--test_jobs", "4", "-test_jobs=5", "--notest_report",
        "--test_report", "--workdir", "--odd name; rm", "--test_report=false",
    ]  # fmt: skip
    kept = jobs.without_flags(arguments, ("test_jobs", "test_report"))
    assert kept == ["--config=c.py", "--workdir", "--odd name; rm"]


def test_the_command_again_as_it_was_started(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/x/launch/study.py", "--config=c", "--test_jobs=2"])
    assert jobs.command_without("test_jobs") == [sys.executable, "/x/launch/study.py", "--config=c"]
    monkeypatch.setattr(startup, "is_command", True)
    again = [sys.executable, "-m", "fine2coarse", "study", "--config=c"]
    assert jobs.command_without("test_jobs") == again


@pytest.mark.parametrize(
    ("codes", "error"),
    [
        ([0, 2], UsageError),
        ([75, 75], TryAgainError),
        ([3, 0], FailedError),
        ([2, 75], FailedError),
    ],
)
def test_jobs_that_failed_are_told_and_give_the_exit_code(codes, error):
    with pytest.raises(error, match=r"job [01] .* of 2 jobs"):
        jobs.check_codes(codes)


def test_a_job_with_a_bug_is_a_bug(capsys):
    jobs.check_codes([0, 0])
    for code in (1, -9):
        with pytest.raises(SystemExit) as end:
            jobs.check_codes([code, 2])
        assert end.value.code == 1
    assert "job 0 (exit code -9), job 1 (exit code 2) of 2 jobs" in capsys.readouterr().err


def test_cores_and_gpus_are_shared(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    shares = [jobs.share_of_machine(index, 3, ["4", "5", "6", "7"]) for index in range(3)]
    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares] == ["4,7", "5", "6"]
    assert all(share["TF_NUM_INTRAOP_THREADS"] == "5" for share in shares)
    assert not any("OMP_NUM_THREADS" in share for share in shares), "what a user set stays"
    assert all(share["PJRT_NPROC"] == "5" for share in shares)
    assert not any("XLA_PYTHON_CLIENT_MEM_FRACTION" in share for share in shares)
    crowded = jobs.share_of_machine(3, 4, ["0", "1"])
    assert crowded["CUDA_VISIBLE_DEVICES"] == "1"
    assert crowded["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert crowded["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.450"  # two jobs on each GPU


@pytest.mark.parametrize(
    ("visible", "gpus"), [(None, ["0", "1"]), ("", []), ("3,5", ["3", "5"]), ("-1", ["-1"])]
)
def test_gpus_are_counted_on_jax_without_taking_hold_of_them(monkeypatch, tmp_path, visible, gpus):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(jobs, "_DEVICES", tmp_path)
    monkeypatch.setattr(jobs.keras_settings, "backend", lambda: "jax")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert jobs.visible_gpus() == gpus


def test_a_job_that_fails_does_not_end_the_others(tmp_path, capsys):
    code = (
        "import pathlib, sys\n"
        "try:\n"
        "    pathlib.Path(sys.argv[1]).mkdir()\n"
        "except FileExistsError:\n"
        "    print('second'); sys.exit(3)\n"
        "print('first $HOME')\n"
    )
    codes = jobs.run_jobs([sys.executable, "-c", code, str(tmp_path / "x")], 2)
    assert sorted(codes) == [0, 3]
    lines = sorted(line.split("] ")[1] for line in capsys.readouterr().out.splitlines())
    assert lines == ["first $HOME", "second"]


def test_sigterm_is_passed_on(tmp_path):
    code = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
        "open(sys.argv[1], 'a').write('x')\n"
        "time.sleep(60)\n"
    )
    started = tmp_path / "started"

    def stop_us():
        while not started.exists() or started.stat().st_size < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_us, daemon=True).start()
    before = signal.getsignal(signal.SIGTERM)
    assert jobs.run_jobs([sys.executable, "-c", code, str(started)], 2) == [75, 75]
    assert signal.getsignal(signal.SIGTERM) == before


def test_no_output_is_lost():
    code = "print('\\n'.join(map(str, range(5000))))"
    shown = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from fine2coarse.cli import jobs; "
            f"jobs.run_jobs([sys.executable, '-c', {code!r}], 2)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(shown.stdout.splitlines()) == 10_000


def test_lines_of_any_characters_pass_in_any_locale():
    code = "print(chr(0x2192))"
    program = (
        "import sys; from fine2coarse.cli import jobs, startup; "
        f"sys.exit(jobs.run_jobs([sys.executable, '-c', {code!r}], 1)[0])"
    )
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env={**os.environ, **locale}
    )
    assert (shown.returncode, shown.stdout) == (0, b"[job 0] \\u2192\n"), shown.stderr
