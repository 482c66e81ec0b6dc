"""The loop on a model of six numbers: calls of any length, requests to stop, waiting for input."""

from __future__ import annotations

import threading
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.input.feeds import Feed
from fine2coarse.recipes.phase_spec import OptimizerSpec, PhaseSpec
from fine2coarse.training import loop
from fine2coarse.training.checkpoints import Checkpoints
from fine2coarse.training.gate import Gate
from fine2coarse.training.loop import NonFiniteLossError, Trainer
from fine2coarse.training.tensorflow import engine
from fine2coarse.training.tensorflow.engine import TensorFlowEngine

OPTIMIZER = OptimizerSpec(learning_rate=0.3, decay="constant")


def make_trainer(**phase) -> Trainer:
    def build() -> keras.Model:
        inputs = keras.Input((2,))
        return keras.Model(inputs, keras.layers.Dense(2, "tanh", kernel_initializer="ones")(inputs))

    settings = {"total_steps": 20, "batch_size": 2, "log_every_steps": 9, "optimizer": OPTIMIZER}
    one_device = TensorFlowEngine(tf.distribute.OneDeviceStrategy("CPU:0"))
    return Trainer(one_device, build, PhaseSpec(**{**settings, **phase}))


def batches(trainer: Trainer, change=lambda step, images: images):
    """Random images [2, 2] by the number of the step, from where the trainer stands."""

    def batch(step: tf.Tensor) -> dict[str, tf.Tensor]:
        images = tf.random.stateless_normal((2, 2), tf.stack([step, step]))
        label = tf.constant([[0], [1]])
        return {"image": change(step, images), "label": label, "weight": tf.ones(2)}

    steps = tf.data.Dataset.range(trainer.step, trainer.phase.total_steps)
    return Feed(lambda shard: steps.map(batch))


def calls_have(num_steps: int, monkeypatch) -> None:
    """All calls but the first."""
    always = lambda calls, *_: setattr(calls, "num_steps", num_steps)  # noqa: E731
    monkeypatch.setattr(loop._CallLength, "took", always)


def slowed(seconds: float):
    """A change of the images that takes so long and changes nothing."""

    def sleep(number: np.ndarray) -> np.ndarray:
        time.sleep(seconds)
        return number

    def change(number: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([tf.numpy_function(sleep, [number], tf.int64)]):
            return tf.identity(images)

    return change


def rows(progress) -> list[tuple[int, float]]:
    return [(at.step, at.loss) for at in progress if at.log_due]


@pytest.fixture(scope="module")
def undisturbed() -> tuple[list[tuple[int, float]], list[np.ndarray]]:
    trainer = make_trainer()
    return rows(trainer.train(batches(trainer))), trainer.model.get_weights()


def assert_undisturbed(trainer: Trainer, found: list[tuple[int, float]], undisturbed) -> None:
    expected, weights = undisturbed
    assert found == expected and [step for step, _ in found] == [9, 18, 20]
    assert all(map(np.array_equal, trainer.model.get_weights(), weights))


@pytest.mark.parametrize("call_seconds", [0.0, 1e3])
def test_no_number_depends_on_the_length_of_a_call(monkeypatch, undisturbed, call_seconds):
    monkeypatch.setattr(loop, "CALL_SECONDS", call_seconds)
    trainer = make_trainer()
    assert_undisturbed(trainer, rows(trainer.train(batches(trainer))), undisturbed)


def test_nor_on_the_steps_between_two_returns(undisturbed):
    trainer = make_trainer(steps_per_call=4)
    progress = list(trainer.train(batches(trainer)))
    assert [at.step for at in progress] == [4, 8, 9, 13, 17, 18, 20]
    assert_undisturbed(trainer, rows(progress), undisturbed)


@pytest.mark.parametrize("step", [4, 13])
def test_a_stop_at_any_step_resumes_to_the_same_bytes(tmp_path, undisturbed, step):
    stopped, found = make_trainer(), []

    def ask_at(number: np.ndarray) -> np.ndarray:
        if number == step:
            stopped.request_stop()
        return number

    def change(number: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([tf.numpy_function(ask_at, [number], tf.int64)]):
            return tf.identity(images)

    for at in stopped.train(batches(stopped, change)):
        found += rows([at])
        if at.stop_requested:
            break
    # The map may be a batch or two ahead of the step.
    assert at.stop_requested and step - 3 <= at.step <= step + 1
    Checkpoints(tmp_path, stopped).save()
    trainer = make_trainer()
    assert Checkpoints(tmp_path, trainer).restore_newest().step == at.step
    found += rows(trainer.train(batches(trainer)))
    assert_undisturbed(trainer, found, undisturbed)


def test_a_stop_between_two_calls_tells_no_row_twice():
    trainer = make_trainer()
    progress = []
    for at in trainer.train(batches(trainer)):
        progress.append(at)
        if at.step == 9:
            trainer.request_stop()
        if at.stop_requested:
            break
    assert [(at.step, at.log_due, at.stop_requested) for at in progress] == [
        (9, True, False),
        (9, False, True),
    ]
    assert trainer.step == 9


def test_a_request_is_told_once(told):
    trainer = make_trainer()
    trainer.request_stop()
    trainer.request_stop()
    assert [line for line in told() if "stop" in line] == [
        "asked to stop: the step under way will be finished and its state saved"
    ]
    assert trainer.agree_to_stop()


@pytest.mark.parametrize("step", [0, 5])
def test_the_first_step_that_is_not_finite_is_named(step):
    trainer = make_trainer()

    def change(number: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        return tf.where(number == step, np.nan, images)

    with pytest.raises(NonFiniteLossError, match=rf"not finite at step {step + 1}, learning rate"):
        list(trainer.train(batches(trainer, change)))


class Late:
    """Steps whose losses nothing else waits for, as of a device behind the host.

    That of step 2 comes when step 3 has its batch; after five seconds it comes in any case. (Not
    those of more steps: each keeps one of TensorFlow's threads, which may be one of two.)
    """

    def __init__(self) -> None:
        self.num_batches, self.num_losses, self.in_time = 0, 0, None
        self._changed = threading.Condition()

    def __call__(self, *arguments: object):
        def step(parts: list) -> tuple[tf.Tensor, tf.Tensor]:
            total = tf.reduce_sum(parts[0]["image"])
            loss = tf.numpy_function(self.loss, [total], tf.float32, stateful=False)
            return tf.ensure_shape(loss, []), tf.constant(1.0)

        return step

    def has_input(self) -> None:
        with self._changed:
            self.num_batches += 1
            self._changed.notify_all()

    def loss(self, total: np.ndarray) -> np.ndarray:
        with self._changed:
            self.num_losses += 1
            if self.num_losses == 2:
                self.in_time = self._changed.wait_for(lambda: self.num_batches > 2, timeout=5)
        return np.float32(1.0)


def test_the_next_batch_is_taken_before_the_loss_is_known(monkeypatch):
    late, has_input = Late(), Gate.has_input
    noting = lambda gate: late.has_input() or has_input(gate)  # noqa: E731
    monkeypatch.setattr(Gate, "has_input", noting)
    monkeypatch.setattr(engine, "TrainStep", late)
    calls_have(4, monkeypatch)
    trainer = make_trainer(total_steps=5, log_every_steps=5)
    (progress,) = [at for at in trainer.train(batches(trainer)) if at.log_due]
    assert progress.loss == 1.0 and late.num_losses == 5
    assert late.in_time


@pytest.mark.parametrize("behind", [False, True])
def test_waiting_for_input_is_timed(monkeypatch, behind):
    monkeypatch.setattr(engine, "runs_ahead", lambda strategy: behind)
    trainer = make_trainer()
    progress = list(trainer.train(batches(trainer, slowed(0.02))))
    waited = sum(at.input_wait_seconds for at in progress)
    assert 0.8 * 20 * 0.02 < waited < 3 * 20 * 0.02


def test_a_call_takes_three_seconds_at_most_and_twice_the_steps_of_the_one_before():
    calls = loop._CallLength()
    lengths = []
    for _ in range(8):
        lengths.append(calls.num_steps)
        calls.took(0.1 * calls.num_steps, calls.num_steps)
    assert lengths[:5] == [1, 2, 4, 8, 16] and set(lengths[5:]) <= {29, 30}  # of 0.1 s each
    calls.took(10.0, 1)
    assert calls.num_steps == 1
    calls.took(0.0, 0)  # stopped before the first step
    assert calls.num_steps == 1


def test_a_phase_is_told_of_every_three_seconds(monkeypatch):
    monkeypatch.setattr(loop, "CALL_SECONDS", 0.02)
    trainer = make_trainer(log_every_steps=20)
    progress = list(trainer.train(batches(trainer, slowed(0.01))))
    assert len(progress) > 3 and [at.log_due for at in progress][-1]
    assert not any(at.log_due or at.checkpoint_due for at in progress[:-1])


class Slow:
    """A step of 20 ms; with the third one a thread asks to stop."""

    def __init__(self) -> None:
        self.num_steps, self.ask = 0, None

    def __call__(self, *arguments: object):
        def step(parts: list) -> tuple[tf.Tensor, tf.Tensor]:
            loss = tf.numpy_function(self.sleep, [], tf.float32)
            return tf.ensure_shape(loss, []), tf.constant(1.0)

        return step

    def sleep(self) -> np.ndarray:
        self.num_steps += 1
        if self.num_steps == 3:
            threading.Thread(target=self.ask).start()
        time.sleep(0.02)
        return np.float32(1.0)


def test_a_request_from_a_thread_ends_a_call_of_many_slow_steps(monkeypatch):
    slow = Slow()
    monkeypatch.setattr(engine, "TrainStep", slow)
    calls_have(500, monkeypatch)
    trainer = make_trainer(total_steps=600, log_every_steps=600)
    slow.ask = trainer.request_stop
    progress = next(trainer.train(batches(trainer)))
    assert progress.stop_requested and 3 <= progress.step < 50
    assert progress.step == slow.num_steps
