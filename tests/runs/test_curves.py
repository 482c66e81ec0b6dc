"""Learning curves: events as `metrics.csv` has them, also in the study's TensorBoard folder."""

from __future__ import annotations

import os
import pathlib
import sys

import pytest
import tensorflow as tf

from fine2coarse.runs import board
from fine2coarse.runs.board import board_of, event_files, show_curves
from fine2coarse.runs.curve_events import CurveEvents, has_tensorboard
from fine2coarse.runs.metrics_log import MetricsLog
from fine2coarse.runs.phase_folder import PhaseFolder
from fine2coarse.training.loop import Progress


@pytest.fixture
def run(tmp_path):
    """The folder of a study's run."""
    (tmp_path / "recipe.json").write_text("{}")
    return tmp_path / "runs" / "fine-seed0"


def steps(folder: pathlib.Path, tag: str = "loss") -> list[int]:
    """Steps of a curve, in the order in which TensorBoard reads them."""
    return [
        event.step
        for path in event_files(folder)
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == tag
    ]


def log(phase: PhaseFolder, first_step: int, last_step: int) -> MetricsLog:
    """Logs every second step, with a validation at every fourth."""
    phase.path.mkdir(parents=True, exist_ok=True)
    phase.rewind_metrics(first_step)
    metrics_log = MetricsLog(phase, 8, first_step * 1.0, first_step, writes=True)
    for step in range(first_step + 2, last_step + 1, 2):
        progress = Progress(step, 1.0 / step, 0.1, True, False)
        metrics_log.write(progress, 50.0, 0.5 if step % 4 == 0 else None)
    return metrics_log


def test_curves_are_shown_while_a_phase_trains(run):
    phase, shown = run / "pretrain", run.parents[1] / "tensorboard" / "fine-seed0" / "pretrain"
    metrics_log = log(PhaseFolder(phase), 0, 6)
    assert steps(phase / "tensorboard") == steps(shown) == [2, 4, 6]
    assert steps(shown, "validation_accuracy") == [4]
    (path,), (own,) = event_files(shown), event_files(phase / "tensorboard")
    assert path.samefile(own)
    values = {
        value.tag: value.simple_value
        for event in tf.compat.v1.train.summary_iterator(str(path))
        if event.step == 4
        for value in event.summary.value
    }
    assert values["loss"] == 0.25 and values["images_per_second"] == 50.0
    metrics_log.close()


def test_a_phase_that_goes_on_has_no_step_twice(run):
    phase = PhaseFolder(run / "pretrain")
    log(phase, 0, 6)  # killed: never closed; its last checkpoint is of step 2
    log(phase, 2, 8).close()
    for folder in (phase.path / "tensorboard", board_of(phase.path)):
        assert len(event_files(folder)) == 1
        assert steps(folder) == [2, 4, 6, 8]
        (path,) = event_files(folder)
        times = [event.wall_time for event in tf.compat.v1.train.summary_iterator(str(path))][1:]
        assert times == sorted(times)


def test_without_hard_links_the_copy_is_there_at_the_end(run, monkeypatch):
    def fail(*paths):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", fail)
    metrics_log = log(PhaseFolder(run / "pretrain"), 0, 4)
    assert event_files(board_of(run / "pretrain")) == []
    metrics_log.close()
    assert steps(board_of(run / "pretrain")) == [2, 4]


def test_where_a_phase_is_shown(run):
    shown = run.parents[1] / "tensorboard"
    baseline = run.parent / "baseline-seed12"
    assert board_of(run / "transfer") == shown / "fine-seed0" / "transfer"
    assert board_of(run / "trials" / "new") == shown / "fine-seed0" / "transfer" / "new"
    probe = board_of(baseline / "trials" / "new" / "probe")
    assert probe == shown / "baseline-seed12" / "baseline" / "new" / "probe"
    assert board_of(pathlib.Path("runs/fine")) is None


def test_a_trial_that_counts_gives_its_curves_to_the_phase(tmp_path):
    trial, final = PhaseFolder(tmp_path / "trials" / "new"), PhaseFolder(tmp_path)
    log(trial, 0, 4).close()
    (trial.path / "recipe.json").write_text("{}")
    (trial.path / "result.json").write_text("{}")
    final.adopt(trial, {})
    assert steps(tmp_path / "tensorboard") == [2, 4]


def test_curves_of_earlier_versions_are_shown_with_the_report(run):
    old = {"pretrain": 1, "trials/new": 2, "trials/summed": 3, "transfer": 3}
    for phase in old:
        folder = run / phase / "tensorboard"
        folder.mkdir(parents=True)
        with tf.summary.create_file_writer(str(folder)).as_default(step=1):
            tf.summary.scalar("loss", 1.0)
    (own,) = event_files(run / "transfer" / "tensorboard")
    own.unlink()
    (trial,) = event_files(run / "trials" / "summed" / "tensorboard")
    (own.parent / trial.name).hardlink_to(trial)  # it was chosen
    shown = run.parents[1] / "tensorboard" / "fine-seed0"
    for _ in range(2):
        show_curves(run, shown)
        folders = {path.parent.relative_to(shown).as_posix() for path in shown.rglob("*.v2")}
        assert folders == {"pretrain", "transfer/new", "transfer/summed"}
    CurveEvents(run / "pretrain").close()  # trained again
    assert [path.suffix for path in event_files(shown / "pretrain")] == [board.CURVES_SUFFIX]


def test_events_are_those_that_tensorflow_would_write(run, tmp_path):
    metrics_log = log(PhaseFolder(run / "pretrain"), 0, 4)
    metrics_log.close()
    (path,) = event_files(run / "pretrain" / "tensorboard")
    events = list(tf.compat.v1.train.summary_iterator(str(path)))
    theirs = str(tmp_path / "theirs")
    with tf.io.TFRecordWriter(theirs) as writer:
        for event in events:
            writer.write(event.SerializeToString())
    assert path.read_bytes() == pathlib.Path(theirs).read_bytes()
    assert [event.step for event in events] == [0, 2, 4]


def test_without_tensorboard_there_are_no_curves_and_one_line(run, monkeypatch, told):
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    has_tensorboard.cache_clear()
    for name in ("pretrain", "transfer"):
        log(PhaseFolder(run / name), 0, 4).close()
        assert not (run / name / "tensorboard").exists()
        assert len(PhaseFolder(run / name).metrics()) == 2
    has_tensorboard.cache_clear()
    assert told() == ["no curves for TensorBoard: it is not installed (pip install tensorboard)"]
