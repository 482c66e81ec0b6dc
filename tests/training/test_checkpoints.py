"""Checkpoints of a model of six numbers: what is kept, what is believed, what is read."""

from __future__ import annotations

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.recipes.phase_spec import OptimizerSpec, PhaseSpec
from fine2coarse.training import checkpoints as checkpoints_module
from fine2coarse.training.checkpoints import BEST, BEST_SCORE, CheckpointError, Checkpoints
from fine2coarse.training.loop import Trainer
from tests.engines import one_device

pytestmark = pytest.mark.both_backends


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    def build() -> keras.Model:
        inputs = keras.Input((2,))
        return keras.Model(inputs, keras.layers.Dense(2)(inputs))

    return Trainer(one_device(), build, PhaseSpec(total_steps=9, batch_size=2))


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """Names of the arrays that are read of checkpoints, one entry a read."""
    found, load = [], np.load

    def noting(path: pathlib.Path, **options) -> np.lib.npyio.NpzFile:
        arrays = load(path, **options)
        get = type(arrays).__getitem__

        class Noting(type(arrays)):
            def __getitem__(self, name):
                found.append(name)
                return get(self, name)

        arrays.__class__ = Noting
        return arrays

    monkeypatch.setattr(np, "load", noting)
    return found


def at(trainer: Trainer, step: int) -> None:
    """Puts the trainer at a step, where all its weights are as large as the step's number."""
    trainer.optimizer.iterations.assign(step)
    for variable in trainer.model.variables:
        variable.assign(tf.fill(variable.shape, float(step)))


def save_best(checkpoints: Checkpoints, trainer: Trainer, scores: dict[int, float]) -> list[int]:
    """Steps that were the best so far."""
    best = []
    for step, score in scores.items():
        at(trainer, step)
        if checkpoints.save_if_best(score):
            best.append(step)
    return best


def noted(folder: pathlib.Path) -> tuple[int, float]:
    note = json.loads((folder / BEST_SCORE).read_text("utf-8"))
    return note["step"], note["score"]


def test_the_best_is_kept_and_nothing_of_it_is_read_while_validating(tmp_path, trainer, reads):
    checkpoints = Checkpoints(tmp_path, trainer)
    assert checkpoints.best_score() == float("-inf")
    assert save_best(checkpoints, trainer, {1: 0.5, 2: 0.25, 3: 0.5, 4: 0.75}) == [1, 4]
    assert reads == []
    assert noted(tmp_path) == (4, 0.75)
    at(trainer, 5)
    assert checkpoints.restore_best().step == 4
    assert trainer.step == 4 and np.all(trainer.model.get_weights()[0] == 4.0)


def test_a_later_process_reads_the_header_alone(tmp_path, trainer, reads):
    save_best(Checkpoints(tmp_path, trainer), trainer, {1: 0.5})
    later = Checkpoints(tmp_path, trainer)
    assert save_best(later, trainer, {2: 0.5, 3: 0.25, 4: 0.625}) == [4]
    assert reads == ["meta"]


class Killed(BaseException):
    """Stands for a kill."""


def test_after_a_kill_between_weights_and_score_the_weights_own_score_counts(
    tmp_path, trainer, monkeypatch
):
    checkpoints = Checkpoints(tmp_path, trainer)
    save_best(checkpoints, trainer, {1: 0.5})

    def killed(path, content):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(checkpoints_module, "write_json", killed)
        save_best(checkpoints, trainer, {2: 0.75})
    assert noted(tmp_path) == (1, 0.5)  # of weights that are no more
    later = Checkpoints(tmp_path, trainer)
    assert later.best_score() == 0.75
    assert noted(tmp_path) == (2, 0.75)
    assert save_best(later, trainer, {3: 0.625}) == []
    assert later.restore_best().step == 2


def test_after_a_kill_before_the_weights_the_earlier_best_stands(tmp_path, trainer, monkeypatch):
    checkpoints = Checkpoints(tmp_path, trainer)
    save_best(checkpoints, trainer, {1: 0.5})

    def killed(self, target):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(pathlib.Path, "replace", killed)
        save_best(checkpoints, trainer, {2: 0.75})
    later = Checkpoints(tmp_path, trainer)
    assert later.best_score() == 0.5 and later.restore_best().step == 1


def test_folders_of_earlier_versions_are_read_once(tmp_path, trainer, reads):
    save_best(Checkpoints(tmp_path, trainer), trainer, {1: 0.5})
    (tmp_path / BEST_SCORE).unlink()
    (tmp_path / "step-1.npz.tmp").write_bytes(b"left by a kill")
    assert Checkpoints(tmp_path, trainer).best_score() == 0.5
    assert len(reads) > 2 and noted(tmp_path) == (1, 0.5)
    assert {path.name for path in tmp_path.iterdir()} == {BEST, BEST_SCORE}
    reads.clear()
    assert Checkpoints(tmp_path, trainer).best_score() == 0.5
    assert reads == ["meta"]


def test_a_cut_best_is_told_and_replaced_by_the_next(tmp_path, trainer, caplog):
    save_best(Checkpoints(tmp_path, trainer), trainer, {1: 0.5})
    (tmp_path / BEST).write_bytes((tmp_path / BEST).read_bytes()[:-40])
    later = Checkpoints(tmp_path, trainer)
    with pytest.raises(CheckpointError, match=r"best\.npz: no intact best checkpoint \(.*remove"):
        later.restore_best()
    assert save_best(later, trainer, {2: 0.25}) == [2]
    assert "best.npz is damaged and will be written anew" in caplog.text
    assert later.restore_best().step == 2 and noted(tmp_path) == (2, 0.25)


def test_without_a_best_there_is_nothing_to_restore(tmp_path, trainer):
    with pytest.raises(CheckpointError, match="no intact best checkpoint"):
        Checkpoints(tmp_path, trainer).restore_best()


def test_the_newest_intact_one_is_restored_and_the_oldest_go(tmp_path, trainer, caplog):
    checkpoints = Checkpoints(tmp_path, trainer, max_to_keep=2)
    for step in (1, 2, 3):
        at(trainer, step)
        checkpoints.save()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-2.npz", "step-3.npz"]
    data = bytearray((tmp_path / "step-3.npz").read_bytes())
    data[data.index(np.float32(3.0).tobytes() * 4)] ^= 1  # one bit of the kernel
    (tmp_path / "step-3.npz").write_bytes(data)
    assert checkpoints.newest() == tmp_path / "step-2.npz"
    assert checkpoints.restore_newest().step == 2
    assert "step-3.npz is damaged and passed over: Bad CRC-32" in caplog.text
    assert np.all(trainer.model.get_weights()[0] == 2.0)


def test_other_processes_write_nothing(tmp_path, trainer):
    checkpoints = Checkpoints(tmp_path / "none", trainer, writes=False)
    checkpoints.save()
    assert not checkpoints.save_if_best(1.0)
    assert not (tmp_path / "none").exists()


def averaging_trainer(features: int = 2) -> Trainer:
    """With batch norm, whose statistics are averaged."""

    def build() -> keras.Model:
        inputs = keras.Input((features,))
        return keras.Model(inputs, keras.layers.BatchNormalization()(inputs))

    phase = PhaseSpec(total_steps=9, batch_size=2, optimizer=OptimizerSpec(ema_decay=0.5))
    return Trainer(one_device(), build, phase)


def as_of_an_earlier_version(path: pathlib.Path, lacking: tuple[str, ...]) -> None:
    """Takes the variables of these names out of a checkpoint."""
    with np.load(path) as arrays:
        found = dict(arrays)
    meta = json.loads(str(found.pop("meta")))
    kept = [i for i, (name, _) in enumerate(meta["variables"]) if name not in lacking]
    assert len(kept) == len(meta["variables"]) - len(lacking)
    meta["variables"] = [meta["variables"][i] for i in kept]
    values = {f"v{number:05}": found[f"v{i:05}"] for number, i in enumerate(kept)}
    np.savez(path, meta=np.asarray(json.dumps(meta)), **values)


LATER = (
    "batch_normalization_moving_mean_average",
    "batch_normalization_moving_variance_average",
    "unlogged_part",
)


def test_a_checkpoint_without_averages_of_statistics_starts_them_there(tmp_path, caplog):
    old, new = averaging_trainer(), averaging_trainer()
    at(old, 3)
    Checkpoints(tmp_path, old).save()
    as_of_an_earlier_version(tmp_path / "step-3.npz", LATER)
    assert Checkpoints(tmp_path, new).restore_newest().step == 3
    assert "they start at the statistics of step 3" in caplog.text
    gamma, beta, mean, variance = (average.numpy() for average in new.average_weights())
    assert np.array_equal(mean, [3.0, 3.0]) and np.array_equal(variance, [3.0, 3.0])
    assert np.array_equal(gamma, [1.0, 1.0]) and np.array_equal(beta, [0.0, 0.0])  # as saved


def test_a_checkpoint_without_a_part_of_losses_says_nothing_of_it(tmp_path, trainer, caplog):
    at(trainer, 3)
    Checkpoints(tmp_path, trainer).save()
    as_of_an_earlier_version(tmp_path / "step-3.npz", ("unlogged_part",))
    assert Checkpoints(tmp_path, trainer).restore_newest().step == 3
    assert not caplog.records


def test_one_of_another_model_is_refused_all_the_same(tmp_path):
    Checkpoints(tmp_path, averaging_trainer(3)).save()
    with pytest.raises(CheckpointError, match=r"belongs to another model: .*moving_mean.*\[3\]"):
        Checkpoints(tmp_path, averaging_trainer()).restore_newest()
    as_of_an_earlier_version(tmp_path / "step-0.npz", LATER)
    with pytest.raises(CheckpointError, match="belongs to another model"):
        Checkpoints(tmp_path, averaging_trainer()).restore_newest()
