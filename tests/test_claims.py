"""Claims: one winner, the dead are succeeded, the living are not, and no work is done twice."""

from __future__ import annotations

import collections
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest

from fine2coarse import claims as module
from fine2coarse.claims import DONE, FAILED, FREE, ClaimLost, Claims
from fine2coarse.errors import Preempted
from fine2coarse.studies.worker import RunFailed, work_through

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_WORKER = pathlib.Path(__file__).with_name("claims_worker.py")


def start_worker(folder: pathlib.Path, num_units: int, seconds: float) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(_WORKER), str(folder), str(num_units), str(seconds), "60"],
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        stdout=subprocess.DEVNULL,
    )


def log(folder: pathlib.Path) -> list[list[str]]:
    path = folder / "log"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def write_claim(folder: pathlib.Path, name: str, *, age_s: float = 0, **record) -> pathlib.Path:
    """A claim as some other process left it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.000001.json"
    defaults = {"state": "held", "host": "far", "machine": "far", "pid": 1, "started": "1"}
    path.write_text(json.dumps({**defaults, "reason": "", **record}))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_a_held_name_is_given_to_nobody_else(tmp_path):
    ours, theirs = Claims(tmp_path), Claims(tmp_path)
    claim = ours.take("a")
    assert theirs.take("a") is None and ours.take("a") is None
    assert str(os.getpid()) in theirs.holder("a")
    assert theirs.take("a-seed1") is not None  # another name, though it begins alike
    claim.end(FREE)
    assert theirs.holder("a") == "" and theirs.take("a") is not None


def test_one_of_many_threads_wins_each_round(tmp_path):
    everyone = [Claims(tmp_path) for _ in range(8)]
    write_claim(tmp_path, "a", age_s=1000)
    won = []

    def try_it(claims):
        won.append(claims.take("a"))

    for _ in range(5):
        won.clear()
        threads = [threading.Thread(target=try_it, args=(claims,)) for claims in everyone]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners = [claim for claim in won if claim]
        assert len(winners) == 1
        winners[0].end(FREE)


def test_a_silent_claim_of_another_host_is_taken_over_after_the_timeout_only(tmp_path):
    claims = Claims(tmp_path, timeout_s=100)
    write_claim(tmp_path, "young", age_s=50)
    write_claim(tmp_path, "old", age_s=150)
    assert claims.take("young") is None
    assert claims.take("old") is not None


def test_a_dead_process_of_this_host_is_succeeded_at_once(tmp_path):
    claims = Claims(tmp_path, timeout_s=10_000)
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    write_claim(tmp_path, "a", machine=module._MACHINE, pid=process.pid, started="5")
    process.wait()
    assert claims.take("a") is not None
    reused = write_claim(tmp_path, "b", machine=module._MACHINE, pid=os.getpid(), started="5")
    assert claims.take("b") is not None, "another process of the same id does not count"
    assert reused.exists()


def test_a_heartbeat_keeps_a_claim(tmp_path):
    claims, other = Claims(tmp_path, timeout_s=0.5), Claims(tmp_path, timeout_s=0.5)
    claim = claims.take("a")
    for _ in range(10):
        time.sleep(0.1)
        assert other.take("a") is None
    claim.check()


def test_who_slept_through_the_timeout_has_lost_and_undoes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module.Claim, "_beat", lambda self: None)  # as a stopped process
    claims, other = Claims(tmp_path, timeout_s=0.2), Claims(tmp_path, timeout_s=0.2)
    claim = claims.take("a")
    time.sleep(0.3)
    successor = other.take("a")
    assert successor
    with pytest.raises(ClaimLost, match="taken over"):
        claim.check()
    claim.end(FREE)
    successor.check()
    assert Claims(tmp_path, 100).take("a") is None


def test_failures_are_kept_from_those_at_work_and_tried_again_later(tmp_path):
    early = Claims(tmp_path)
    time.sleep(0.05)
    early.take("a").end(FAILED, "the loss is not finite")
    assert early.take("a") is None and early.failure("a") == "the loss is not finite"
    time.sleep(0.05)
    late = Claims(tmp_path)
    assert late.failure("a") == "" and late.take("a") is not None


def test_file_systems_without_hard_links_will_do(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(module.errno.EPERM, "no links here")

    monkeypatch.setattr(module.os, "link", refuse)
    claims, other = Claims(tmp_path), Claims(tmp_path)
    claim = claims.take("a")
    assert claim and other.take("a") is None
    claim.end(DONE)


def test_the_first_prepares_and_the_others_wait(tmp_path):
    order = []

    def prepare(name):
        with Claims(tmp_path).first("data", poll_s=0.01):
            order.append(f"{name} in")
            time.sleep(0.1)
            order.append(f"{name} out")

    threads = [threading.Thread(target=prepare, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order[0][0] == order[1][0] and order[2][0] == order[3][0]
    assert len(list(tmp_path.glob("data*"))) == 2


class Run:
    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name


def test_a_unit_that_fails_does_not_stop_the_others(tmp_path):
    done, told = [], []

    def do(run, claim):
        if run.name == "b":
            raise RunFailed("too hot")
        done.append(run.name)

    failures = work_through(
        [Run("a"), Run("b"), Run("c")], Claims(tmp_path), lambda run: run.name in done, do,
        announce=told.append,
    )  # fmt: skip
    assert done == ["a", "c"] and [str(run) for run in failures] == ["b"]
    assert told == ["b failed: too hot"]


def test_without_waiting_what_others_hold_is_left_to_them(tmp_path):
    Claims(tmp_path).take("a")
    done = []
    work_through(
        [Run("a"), Run("b")], Claims(tmp_path), lambda run: run.name in done,
        lambda run, claim: done.append(run.name), wait=False,
    )  # fmt: skip
    assert done == ["b"]


def test_an_error_leaves_the_claim_free_or_failed(tmp_path):
    for name, error in {"a": Preempted("stop"), "b": OSError("full"), "c": KeyError("bug")}.items():

        def do(run, claim, error=error):
            raise error

        with pytest.raises(type(error)):
            work_through([Run(name)], Claims(tmp_path), lambda run: False, do)
    states = {
        name: json.loads((tmp_path / f"{name}.000002.json").read_text())["state"] for name in "abc"
    }
    assert states == {"a": FREE, "b": FREE, "c": FAILED}


@pytest.mark.slow
def test_three_processes_one_killed_do_each_unit_once(tmp_path):
    workers = [start_worker(tmp_path, 12, 0.2) for _ in range(3)]
    victim = workers[0]
    deadline = time.monotonic() + 60
    while not any(line[1:] == ["began", str(victim.pid)] for line in log(tmp_path)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    victim.kill()
    assert [worker.wait(timeout=120) for worker in workers[1:]] == [0, 0]
    victim.wait()
    done = collections.Counter(line[0] for line in log(tmp_path) if line[1] == "done")
    assert done == {f"u{index}": 1 for index in range(12)}
    began = collections.Counter(line[0] for line in log(tmp_path) if line[1] == "began")
    assert sum(began.values()) <= 13  # only what the victim held was begun again


def test_sigterm_between_units_leaves_with_all_said(tmp_path):
    worker = start_worker(tmp_path, 50, 0.1)
    deadline = time.monotonic() + 60
    while not log(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    worker.terminate()
    assert worker.wait(timeout=60) == 1  # the exception of a program that does not catch it
    done = {line[0] for line in log(tmp_path) if line[1] == "done"}
    assert 0 < len(done) < 50 and {line[0] for line in log(tmp_path)} == done
