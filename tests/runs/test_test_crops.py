"""Test-time augmentation against a computation by hand."""

from __future__ import annotations

import dataclasses
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.input import Examples
from fine2coarse.input.augmentation import train_image
from fine2coarse.labels import LabelSpace
from fine2coarse.models import BackboneSpec, Classifier
from fine2coarse.recipes.phase_spec import AugmentSpec, PhaseSpec
from fine2coarse.runs.evaluation import Evaluator
from fine2coarse.runs.phase_run import PhaseRun
from tests.engines import one_device

pytestmark = pytest.mark.both_backends

_CROP = AugmentSpec(crop="inception", flip=True, min_area=0.25)
_SIZE_PX = 8


@pytest.fixture(scope="module")
def parts() -> tuple[PhaseRun, types.SimpleNamespace]:
    """Six images of three classes, and a fresh network whose predictions differ between crops."""
    pixels = np.random.default_rng(0).integers(0, 255, (6, 20, 24, 3), np.uint8)
    leaves = np.arange(6) % 3
    images = Examples(tf.constant(pixels), tuple(f"i{i}" for i in range(6)), leaves)
    spec = BackboneSpec("mlp_B_2-Wi_64", _SIZE_PX)
    run = PhaseRun(
        purpose="transfer",
        space=LabelSpace(tuple("abc"), tuple("abc"), np.arange(3)[:, None]),
        phase=PhaseSpec(total_steps=1, batch_size=2),
        backbone=spec,
        seed=0,
        precision="float32",
        train=images,
        evaluate=images,
        dataset_fingerprint="x",
        test_crops=5,
    )
    return run, types.SimpleNamespace(model=Classifier(spec, 3, seed=0), engine=one_device())


def mean_softmax(run: PhaseRun, model: Classifier) -> np.ndarray:
    """float64 [N, C]: crop c of image i is drawn from the seed (c, 2 i)."""
    total = np.zeros((len(run.evaluate), 3))
    for row, image in enumerate(run.evaluate.images):
        for crop in range(run.test_crops):
            view = train_image(image, tf.constant([crop, 2 * row], tf.int64), _SIZE_PX, _CROP)
            logits = keras.ops.convert_to_numpy(model(view[None].numpy(), training=False))[0]
            logits = logits.astype(np.float64)
            odds = np.exp(logits - logits.max())
            total[row] += odds / odds.sum()
    return total / run.test_crops


def test_the_mean_softmax_of_random_crops_decides(parts):
    run, trainer = parts
    found = Evaluator(run, trainer).predict(run.evaluate)
    expected = mean_softmax(run, trainer.model)
    right = expected[np.arange(6), found.targets]
    others = expected.copy()
    others[np.arange(6), found.targets] = -np.inf
    np.testing.assert_array_equal(found.predicted, expected.argmax(1))
    np.testing.assert_allclose(found.margins, right - others.max(1), atol=1e-6)


def test_more_crops_are_other_answers(parts):
    run, trainer = parts
    margins = [
        Evaluator(dataclasses.replace(run, test_crops=crops), trainer).predict(run.evaluate).margins
        for crops in (1, 5)
    ]
    assert np.abs(margins[0] - margins[1]).max() > 1e-3
