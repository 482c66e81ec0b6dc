"""Schedules at the steps one can compute by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fine2coarse.models import BackboneSpec, Classifier
from fine2coarse.training.optimizers import build_optimizer, learning_rate_schedule
from fine2coarse.training.spec import OptimizerSpec, PhaseSpec


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
