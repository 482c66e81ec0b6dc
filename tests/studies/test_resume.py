"""A run cut short and started again ends exactly as one that was not."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.errors import Preempted
from fine2coarse.input import Examples
from fine2coarse.labels import LabelSpace
from fine2coarse.models import BackboneSpec
from fine2coarse.recipes.phase_spec import AugmentSpec, OptimizerSpec, PhaseSpec
from fine2coarse.runs.classifiers import load_classifier
from fine2coarse.runs.execution import execute
from fine2coarse.runs.phase_folder import METRICS, PhaseFolder, RunError
from fine2coarse.runs.phase_run import PhaseRun
from fine2coarse.runs.progress import Silent
from fine2coarse.training.loop import NonFiniteLossError

pytestmark = pytest.mark.both_backends


class Interrupted(Exception):
    """Stands for a kill."""


class InterruptAt(Silent):
    """Raises once training has reached a step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def advance(self, progress, images_per_second):
        if progress.step >= self._step:
            raise Interrupted


def make_run(**changes) -> PhaseRun:
    generator = np.random.default_rng(0)
    images = tf.constant(generator.integers(0, 255, (24, 16, 16, 3), np.uint8))
    examples = Examples(images, tuple(f"i{i}" for i in range(24)), np.arange(24) % 3)
    space = LabelSpace(("a", "b", "c"), ("a", "b", "c"), np.arange(3)[:, None])
    phase = PhaseSpec(
        total_steps=10,
        batch_size=8,
        optimizer=OptimizerSpec(learning_rate=0.05, weight_decay=1e-3),
        augment=AugmentSpec(crop="shift", shift_px=2),
        log_every_steps=2,
        checkpoint_every_steps=3,
    )
    settings = {
        "purpose": "baseline",
        "space": space,
        "phase": phase,
        "backbone": BackboneSpec("resnet_tiny", 16),
        "seed": 0,
        "precision": "float32",
        "train": examples,
        "evaluate": examples,
        "dataset_fingerprint": "x",
    }
    return PhaseRun(**{**settings, **changes})


def losses(folder: PhaseFolder) -> list[tuple[str, str]]:
    return [(row["step"], row["loss"]) for row in folder.metrics()]


@pytest.mark.parametrize(
    "step", [5, *(pytest.param(step, marks=pytest.mark.slow) for step in (1, 8))]
)
def test_interrupted_run_ends_with_the_same_weights_and_losses(tmp_path, engine, step):
    whole, cut = PhaseFolder(tmp_path / "whole"), PhaseFolder(tmp_path / "cut")
    expected = execute(make_run(), whole, engine)
    with pytest.raises(Interrupted):
        execute(make_run(), cut, engine, InterruptAt(step))
    assert not cut.is_finished
    found = execute(make_run(), cut, engine)
    for key in ("last_loss", "images_seen", "evaluation"):
        assert found[key] == expected[key]
    assert losses(cut) == losses(whole)
    ours, theirs = (load_classifier(f.path).get_weights() for f in (cut, whole))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


class TerminateAt(Silent):
    """Sends SIGTERM to the process once training has reached a step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def advance(self, progress, images_per_second):
        if progress.step >= self._step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("step", [4, 10])
def test_a_request_to_stop_is_never_lost_even_at_the_last_step(tmp_path, engine, step):
    whole, cut = PhaseFolder(tmp_path / "whole"), PhaseFolder(tmp_path / "cut")
    expected = execute(make_run(), whole, engine)
    with pytest.raises(Preempted, match="goes on from there"):
        execute(make_run(), cut, engine, TerminateAt(step))
    assert not cut.is_finished
    assert execute(make_run(), cut, engine)["evaluation"] == expected["evaluation"]
    assert losses(cut) == losses(whole)


@pytest.mark.slow
def test_a_row_cut_short_by_the_kill_is_dropped(tmp_path, engine):
    whole, cut = PhaseFolder(tmp_path / "whole"), PhaseFolder(tmp_path / "cut")
    execute(make_run(), whole, engine)
    with pytest.raises(Interrupted):
        execute(make_run(), cut, engine, InterruptAt(5))
    with (cut.path / METRICS).open("a") as file:
        file.write("6,0.1")
    execute(make_run(), cut, engine)
    assert losses(cut) == losses(whole)


def test_a_damaged_checkpoint_is_passed_over(tmp_path, engine, caplog):
    whole, cut = PhaseFolder(tmp_path / "whole"), PhaseFolder(tmp_path / "cut")
    execute(make_run(), whole, engine)
    with pytest.raises(Interrupted):
        execute(make_run(), cut, engine, InterruptAt(8))
    newest = next((cut.path / "checkpoints").glob("step-6.npz"))
    newest.write_bytes(newest.read_bytes()[:100])
    execute(make_run(), cut, engine)
    assert "step-6.npz is damaged and passed over" in caplog.text
    assert losses(cut) == losses(whole)


def test_a_finished_run_is_not_run_again(tmp_path, engine):
    folder = PhaseFolder(tmp_path)
    first = execute(make_run(), folder, engine)
    assert execute(make_run(), folder, engine, InterruptAt(0)) == first


def test_another_recipe_is_refused_and_named(tmp_path, engine):
    folder = PhaseFolder(tmp_path)
    execute(make_run(), folder, engine)
    with pytest.raises(RunError, match="seed was 0, now 1"):
        execute(make_run(seed=1), folder, engine)


def test_transfer_starts_from_the_pretrained_backbone(tmp_path, engine):
    pretrain = PhaseFolder(tmp_path / "pretrain")
    execute(make_run(purpose="pretrain", evaluate=None), pretrain, engine)
    run = make_run(purpose="transfer", start_from=pretrain.path, mode="linear_probe")
    probe = PhaseFolder(tmp_path / "probe")
    result = execute(run, probe, engine)
    assert result["evaluation"]["num_images"] == 24
    ours, theirs = (load_classifier(f.path).backbone.get_weights() for f in (probe, pretrain))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_transfer_from_an_unfinished_run_is_refused(tmp_path, engine):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "recipe.json").write_text("{}")
    run = make_run(purpose="transfer", start_from=tmp_path / "empty")
    with pytest.raises(RunError, match="finished"):
        execute(run, PhaseFolder(tmp_path / "run"), engine)


def test_a_diverging_loss_stops_the_run(tmp_path, engine):
    phase = PhaseSpec(
        total_steps=20, batch_size=8, optimizer=OptimizerSpec(learning_rate=1e20), log_every_steps=1
    )
    with pytest.raises(
        NonFiniteLossError, match=r"step 2, learning rate 9\.9.*last good checkpoint: none"
    ):
        execute(make_run(phase=phase), PhaseFolder(tmp_path), engine)


def test_status_says_what_was_done(tmp_path, engine):
    execute(make_run(), PhaseFolder(tmp_path), engine)
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["state"], status["step"], status["total_steps"]) == ("finished", 10, 10)
    assert any((tmp_path / "tensorboard").iterdir())
