"""Schedules at the steps one can compute by hand."""

from __future__ import annotations

import types

import numpy as np
import pytest

from fine2coarse.models import BackboneSpec, Classifier
from fine2coarse.models.roles import kernels, moving_statistics
from fine2coarse.recipes.phase_spec import OptimizerSpec, PhaseSpec
from fine2coarse.training.optimizers import build_optimizer, learning_rate_schedule

pytestmark = pytest.mark.both_backends


def rate(spec: OptimizerSpec, step: int, total: int = 110) -> float:
    schedule = learning_rate_schedule(spec, total)
    return float(np.asarray(schedule(step))) if callable(schedule) else schedule


@pytest.mark.parametrize(
    ("decay", "middle", "end"), [("cosine", 0.5, 0.0), ("linear", 0.5, 0.0), ("constant", 1.0, 1.0)]
)
def test_warmup_then_decay(decay, middle, end):
    spec = OptimizerSpec(learning_rate=1.0, warmup_steps=10, decay=decay)
    assert rate(spec, 5) == pytest.approx(0.5)
    assert rate(spec, 10) == pytest.approx(1.0)
    assert rate(spec, 60) == pytest.approx(middle)
    assert rate(spec, 110) == pytest.approx(end, abs=1e-6)


def test_without_warmup():
    assert rate(OptimizerSpec(learning_rate=1.0, decay="linear"), 55) == pytest.approx(0.5)
    assert rate(OptimizerSpec(learning_rate=1.0, decay="constant"), 55) == 1.0


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weight_decay_spares_biases_and_norms(name):
    model = Classifier(BackboneSpec("resnet_tiny", 32), 4, seed=0)
    spec = OptimizerSpec(name=name, learning_rate=1.0, weight_decay=0.1, momentum=0.0)
    optimizer = build_optimizer(spec, 10, model)
    before = [v.numpy().copy() for v in model.trainable_variables]
    gradients = [np.zeros(v.shape, np.float32) for v in model.trainable_variables]
    optimizer.apply(gradients, model.trainable_variables)
    for variable, old in zip(model.trainable_variables, before):
        shrunk = not np.allclose(variable.numpy(), old)
        assert shrunk == (len(variable.shape) > 1 and bool(np.any(old))), variable.path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"total_steps": 0}, "total_steps must be at least 1"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"optimizer": OptimizerSpec(warmup_steps=20)}, "warmup_steps=20 exceeds"),
    ],
)
def test_bad_phases(changes, message):
    with pytest.raises(ValueError, match=message):
        PhaseSpec(**{"total_steps": 10, "batch_size": 4, **changes})


def test_unknown_optimizer_lists_the_choices():
    with pytest.raises(ValueError, match="adamw"):
        OptimizerSpec(name="adam")


def step_once(spec: OptimizerSpec, gradient: float = 1.0):
    """A tiny classifier's weights before and after one step with gradients of one value."""
    model = Classifier(BackboneSpec("mlp_B_2-Wi_64", 8), 4, seed=0)
    optimizer = build_optimizer(spec, 10, model)
    before = [v.numpy().copy() for v in model.trainable_variables]
    gradients = [np.full(v.shape, gradient, np.float32) for v in model.trainable_variables]
    optimizer.apply(gradients, model.trainable_variables)
    return model, optimizer, before


def test_the_backbone_learns_at_its_own_rate():
    spec = OptimizerSpec(
        learning_rate=0.1, momentum=0.0, decay="constant", backbone_rate_factor=0.1
    )
    model, _, before = step_once(spec)
    body = {id(v) for v in model.backbone.trainable_variables}
    for variable, old in zip(model.trainable_variables, before):
        moved = 0.01 if id(variable) in body else 0.1
        np.testing.assert_allclose(old - variable.numpy(), moved, rtol=1e-3)


def test_lion_moves_by_the_sign():
    spec = OptimizerSpec(name="lion", learning_rate=0.5, decay="constant", beta_2=0.99)
    model, _, before = step_once(spec, gradient=-3e-4)
    for variable, old in zip(model.trainable_variables, before):
        np.testing.assert_allclose(variable.numpy() - old, 0.5, rtol=1e-3)


def test_the_average_starts_at_the_weights_and_follows():
    spec = OptimizerSpec(learning_rate=0.1, momentum=0.0, decay="constant", ema_decay=0.9)
    model, optimizer, before = step_once(spec)
    decay = 1 / 10  # (1 + t) / (10 + t) at t = 0
    for variable, average, old in zip(model.trainable_variables, optimizer.averages, before):
        expected = decay * old + (1 - decay) * variable.numpy()
        np.testing.assert_allclose(average.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_batch_norm_statistics_are_averaged_by_the_same_recurrence():
    model = Classifier(BackboneSpec("resnet_tiny", 16), 4, seed=0)
    spec = OptimizerSpec(learning_rate=0.1, momentum=0.0, decay="constant", ema_decay=0.15)
    optimizer = build_optimizer(spec, 10, model)
    statistics = moving_statistics(model)
    assert {v.path.split("/")[-1] for v in statistics} == {"moving_mean", "moving_variance"}
    expected = [v.numpy() for v in statistics]
    generator = np.random.default_rng(0)
    # (1 + t) / (10 + t) is 0.1 at t = 0; from t = 1 on, at 2 / 11, the recipe's 0.15 is less.
    for decay in (0.1, 0.15, 0.15):
        model(generator.random((4, 16, 16, 3), np.float32), training=True)
        gradients = [np.zeros(v.shape, np.float32) for v in model.trainable_variables]
        optimizer.apply(gradients, model.trainable_variables)
        expected = [decay * a + (1 - decay) * v.numpy() for a, v in zip(expected, statistics)]
    assert len(optimizer.statistics_averages) == len(statistics) == 2 * 9
    for average, ours, last in zip(optimizer.statistics_averages, expected, statistics):
        np.testing.assert_allclose(average.numpy(), ours, rtol=1e-5, atol=1e-7)
        assert not np.allclose(average.numpy(), last.numpy(), rtol=1e-3, atol=0)


def test_statistics_are_known_by_their_names():
    paths = (
        "a/moving_mean", "moving_variance", "moving_mean_1", "hub/classifier.norm.moving_variance",
        "seed_generator_state", "a/moving_mean_average", "unmoving_mean", "a/gamma",
    )  # fmt: skip
    variables = [types.SimpleNamespace(path=path) for path in paths]
    found = moving_statistics(types.SimpleNamespace(non_trainable_variables=variables))
    assert tuple(variable.path for variable in found) == paths[:4]


def test_without_an_average_there_are_none_of_the_statistics():
    model = Classifier(BackboneSpec("resnet_tiny", 16), 4, seed=0)
    optimizer = build_optimizer(OptimizerSpec(), 10, model)
    assert optimizer.averages == optimizer.statistics_averages == []
    assert not [v for v in optimizer.variables if "moving" in v.path]


def test_position_embeddings_and_class_tokens_do_not_decay():
    model = Classifier(BackboneSpec("vit_ti16", 16), 4, seed=0)
    decayed = {id(v) for v in kernels(model)}
    spared = {v.path.split("/")[-1] for v in model.trainable_variables if id(v) not in decayed}
    assert spared == {"bias", "gamma", "beta", "class_token", "embeddings"}
    assert {v.path.split("/")[-1] for v in kernels(model)} == {"kernel"}
