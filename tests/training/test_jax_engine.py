"""What JAX alone has: steps repeated on the devices, arrays that are overwritten, waiting."""

from __future__ import annotations

import time

import jax
import keras
import numpy as np
import pytest

from fine2coarse.errors import UsageError
from fine2coarse.input import Examples
from fine2coarse.input.feeds import Feed, train_feed
from fine2coarse.recipes.phase_spec import AugmentSpec, OptimizerSpec, PhaseSpec
from fine2coarse.training.engine import StepSpec
from fine2coarse.training.gate import Gate
from fine2coarse.training.jax.devices import make_jax_engine
from fine2coarse.training.loop import NonFiniteLossError, Trainer

pytestmark = pytest.mark.jax

SEED = 3


def make_trainer(engine, **changes) -> Trainer:
    """Of a small network with batch norm, and averages of its weights."""

    def build() -> keras.Model:
        keras.utils.set_random_seed(0)
        inputs = keras.Input((8, 8, 3))
        x = keras.layers.BatchNormalization()(keras.layers.Flatten()(inputs))
        return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dropout(0.1)(x)))

    settings = {
        "total_steps": 7,
        "batch_size": 8,
        "accumulate_steps": 2,
        "log_every_steps": 1,
        "optimizer": OptimizerSpec(learning_rate=0.1, ema_decay=0.9, max_gradient_norm=1.0),
    }
    return Trainer(engine, build, PhaseSpec(**settings | changes))


def on_device_feed(trainer: Trainer) -> Feed:
    images = np.random.default_rng(0).integers(0, 256, (20, 10, 10, 3), np.uint8)
    examples = Examples(images, tuple(map(str, range(20))), np.arange(20) % 3, on_device=True)
    parts = trainer.phase.accumulate_steps
    return train_feed(
        examples,
        (np.arange(20) % 3)[:, None].astype(np.int32),
        batch_size=trainer.phase.batch_size // parts,
        num_steps=trainer.phase.total_steps * parts,
        image_size_px=8,
        augment=AugmentSpec(crop="inception", flip=True),
        seed=SEED,
        mixup=0.3,
    )


def values(trainer: Trainer) -> list[np.ndarray]:
    return [variable.numpy() for variable in trainer.state_variables]


@pytest.mark.parametrize("steps_per_call", [2, 3, 64])
def test_steps_repeated_on_the_device_are_those_given_one_by_one(engine, steps_per_call):
    from fine2coarse.training.jax.engine import StepRunner

    found = []
    for count in (1, steps_per_call):
        trainer = make_trainer(engine)
        spec = StepSpec(trainer.model, trainer.optimizer, trainer.phase)
        runner = StepRunner(engine, spec, on_device_feed(trainer), Gate(True), count)
        assert runner(5, 0.0)[0::2] == (5, 5)
        done, loss, num_good = runner(2, 0.0)  # fewer than a call does
        runner.close()
        assert (done, num_good, trainer.step) == (2, 2, 7)
        found.append([*values(trainer), np.float32(loss)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_loss_that_is_not_finite_names_its_step(engine):
    trainer = make_trainer(engine, accumulate_steps=1)

    def batches(shard):
        for step in range(7):
            images = np.full((8, 8, 8, 3), np.nan if step == 4 else 0.5, np.float32)
            label = np.zeros((8, 1), np.int32)
            yield {"image": images, "label": label, "weight": np.ones(8, np.float32)}

    with pytest.raises(NonFiniteLossError, match="not finite at step 5, learning rate"):
        list(trainer.train(Feed(batches)))


def test_an_error_of_the_input_leaves_the_state_of_the_steps_before(engine, monkeypatch):
    from fine2coarse.training import loop

    monkeypatch.setattr(loop._CallLength, "took", lambda calls, *_: setattr(calls, "num_steps", 9))
    trainer = make_trainer(engine, log_every_steps=7, accumulate_steps=1)

    def batches(shard):
        for step in range(7):
            if step == 5:
                raise OSError("the disk is gone")
            images = np.full((8, 8, 8, 3), 0.5, np.float32)
            label = np.zeros((8, 1), np.int32)
            yield {"image": images, "label": label, "weight": np.ones(8, np.float32)}

    with pytest.raises(OSError, match="the disk is gone"):
        list(trainer.train(Feed(batches)))
    assert trainer.step == 5
    assert all(np.isfinite(value).all() for value in values(trainer))


def test_waiting_for_input_is_timed(engine):
    trainer = make_trainer(engine, accumulate_steps=1)

    def batches(shard):
        for _ in range(7):
            time.sleep(0.03)
            images = np.full((8, 8, 8, 3), 0.5, np.float32)
            label = np.zeros((8, 1), np.int32)
            yield {"image": images, "label": label, "weight": np.ones(8, np.float32)}

    waited = sum(at.input_wait_seconds for at in trainer.train(Feed(batches)))
    assert 0.6 * 7 * 0.03 < waited < 3 * 7 * 0.03


def test_a_train_step_leaves_no_array_that_two_variables_share(engine):
    from fine2coarse.training.jax.step import Variables

    trainer = make_trainer(engine)
    spared = Variables(trainer.model, trainer.optimizer).values()
    arrays = [value for group in spared for value in group]
    assert len({id(value) for value in arrays}) == len(arrays)
    weight, average = trainer.model.trainable_variables[0], trainer.optimizer.averages[0]
    assert average.value is weight.value  # what a step that overwrites both would trip over


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (AssertionError(), "JAX_PLATFORMS=cuda: unset"),
        (RuntimeError("no\ngo"), r"\(no go\): unset"),
    ],
)
def test_a_platform_that_is_not_there_is_told_in_a_line(monkeypatch, error, told):
    """With JAX_PLATFORMS=cuda and no CUDA plugin JAX fails an assertion, without words."""

    def fail():
        raise error

    monkeypatch.setattr("jax.local_devices", fail)
    before = jax.config.jax_platforms
    jax.config.update("jax_platforms", "cuda")
    try:
        with pytest.raises(UsageError, match=told):
            make_jax_engine("auto")
    finally:
        jax.config.update("jax_platforms", before)
