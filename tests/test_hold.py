"""One process at a time writes a folder or a file; what a dead one left is taken over."""

from __future__ import annotations

import json
import os
import threading

import pytest

from fine2coarse import claims
from fine2coarse.claims import AlreadyHeld, Claims, hold, hold_file


def test_a_second_one_is_refused_and_told_who_holds_it(tmp_path):
    with (
        hold(tmp_path / "claims", "run", "--workdir=x"),
        pytest.raises(AlreadyHeld) as error,
        hold(tmp_path / "claims", "run", "--workdir=x"),
    ):
        pass
    told = str(error.value)
    assert f", process {os.getpid()})" in told and told.startswith("--workdir=x is being written")
    assert "\n" not in told


def test_it_is_free_again_after_an_error_too(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), hold_file(tmp_path / "e.npy"):
            raise KeyError
    assert not list(tmp_path.iterdir())  # nothing is left


def test_another_workers_claim_is_another(tmp_path):
    with hold(tmp_path, "run", "x"), hold(tmp_path, "run-worker1", "x"):
        pass


def write_claim(folder, **changes):
    """A claim as another process would leave it."""
    mine = Claims(folder).take("run")
    path = folder / "run.000001.json"
    record = json.loads(path.read_text())
    mine._ended.set()  # gives no more signs of life
    mine._thread.join()
    path.write_text(json.dumps(record | changes))
    return path


def test_a_dead_ones_is_taken_over_at_once(tmp_path):
    write_claim(tmp_path, pid=2**22 - 1, started="1")
    with hold(tmp_path, "run", "x"):
        pass


def test_one_that_died_on_another_machine_is_taken_over_later(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "HOLD_TIMEOUT_S", 0.3)
    write_claim(tmp_path, machine="another", host="elsewhere")
    with hold(tmp_path, "run", "x"):
        pass


def test_one_that_lives_on_another_machine_is_seen_to_live(tmp_path):
    path = write_claim(tmp_path, machine="another", host="elsewhere", pid=7)
    shared = Claims(tmp_path)
    beat = threading.Timer(0.05, lambda: os.utime(path))
    beat.start()
    assert shared.take_or_see_alive("run", poll_s=0.02) is None
    assert shared.holder("run") == "elsewhere, process 7"
