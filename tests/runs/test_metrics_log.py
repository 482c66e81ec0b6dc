"""What is said of the input while training: a share in every row, a hint where it is too slow."""

from __future__ import annotations

import os

import pytest

from fine2coarse.runs import metrics_log
from fine2coarse.runs.phase_folder import PhaseFolder
from fine2coarse.training.loop import Progress


def written(folder: PhaseFolder, monkeypatch, waits: list[float]) -> list[float]:
    """Ten steps of ten seconds each, with so many of them spent waiting: the shares written."""
    clock = [0.0]
    monkeypatch.setattr(metrics_log.time, "monotonic", lambda: clock[0])
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.rewind_metrics(0)
    book = metrics_log.MetricsLog(folder, 8, 0.0, 0, writes=True)
    for number, wait in enumerate(waits, start=1):
        clock[0] += 10.0
        progress = Progress(10 * number, 1.0, 0.1, True, False, input_wait_seconds=wait)
        rate, _ = book.advance(progress)
        book.write(progress, rate, None)
    return [float(row["input_wait_share"]) for row in folder.metrics()]


def test_shares_are_written_and_a_slow_input_is_told_once(tmp_path, monkeypatch, told):
    shares = written(PhaseFolder(tmp_path), monkeypatch, [0.0, 2.0, 3.0, 2.5, 5.0])
    assert shares == [0.0, 0.2, 0.3, 0.25, 0.5]
    assert "\n".join(told()).count("25 % of the time is spent waiting for input") == 1


@pytest.mark.parametrize(
    "waits",
    [[9.0, 0.5, 0.5, 0.5], [0.0, 3.0], [0.0, 1.0, 0.5, 0.0]],
    ids=["at the start alone", "too short", "a moment"],
)
def test_no_hint_without_reason(waits, tmp_path, monkeypatch, told):
    written(PhaseFolder(tmp_path), monkeypatch, waits)
    assert told() == []


def test_a_folder_whose_name_is_not_utf8_has_its_events(tmp_path, monkeypatch):
    folder = PhaseFolder(tmp_path / os.fsdecode(b"run-\xff"))
    assert written(folder, monkeypatch, [0.0]) == [0.0]
    assert len(list((folder.path / "tensorboard").iterdir())) == 1
