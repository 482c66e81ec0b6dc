"""The theory's network in Keras: the laboratory's steps, its answer on the demo's pictures."""

import keras
import numpy as np
import pytest

from fine2coarse.datasets.demo import DemoConfig, Painter
from fine2coarse.input.examples import Examples
from fine2coarse.theory import network as laboratory
from fine2coarse.theory.keras_patches import (
    PatchData,
    PatchNetwork,
    PatchTrial,
    run_patch_trial,
)

_CONFIG = DemoConfig(name="patches", num_superclasses=2)  # k = 8


def _examples(num, hard_from=None, seed=0):
    painter, generator = Painter(_CONFIG), np.random.default_rng(seed)
    labels = np.arange(num) % painter.num_classes
    hard = np.arange(num) >= (num if hard_from is None else hard_from)
    images = [
        painter.paint(label, hard=is_hard, generator=generator)
        for label, is_hard in zip(labels, hard, strict=True)
    ]
    ids = tuple(str(index) for index in range(num))
    return Examples(np.stack(images), ids, labels, hard)


@pytest.fixture(scope="module")
def data():
    return PatchData(_examples(800), _examples(400, 200, seed=1), _CONFIG.taxonomy())


def test_patches_are_the_squares_of_the_image(data):
    assert data.train_patches.shape == (800, 16, 192)
    image = data.train.images[3].astype(np.float64)
    square = (image[8:16, 24:32] - 128) / 48 / np.sqrt(192)  # second row, fourth column
    np.testing.assert_allclose(data.train_patches[3, 7], square.ravel(), rtol=1e-5, atol=1e-6)
    norms = np.linalg.norm(data.train_patches, axis=-1)
    assert np.median(np.sort(norms, -1)[:, -6:-4]) == pytest.approx(1.0, abs=0.1)  # common marks


def test_classes_of_levels(data):
    leaf_to_class, superclass = data.classes("middle")
    assert leaf_to_class.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert superclass.tolist() == [0, 0, 1, 1]


def test_a_step_in_keras_is_the_laboratory_s_step(data):
    trial = PatchTrial("fine", 8, "fine", num_neurons=64, batch_size=16, bias_polylog=2.0)
    model = PatchNetwork(16, trial, seed=0)
    patches, labels = data.train_patches[:16], data.train.leaf_labels[:16]
    scores = model(patches)
    # [d, O·m] in Keras, [1, O, m, d] in the laboratory.
    weights = model.hidden.kernel.numpy().T.reshape(1, 16, 4, 192)
    twin = laboratory.Network(weights, model.hidden.bias.numpy().reshape(1, 16, 4))
    np.testing.assert_allclose(scores, laboratory.logits(twin, patches[None])[0], rtol=1e-4)
    loss, gradient = laboratory.loss_and_gradient(twin, patches[None], labels[None])
    model.compile(
        keras.optimizers.SGD(trial.learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    assert model.train_on_batch(patches, labels) == pytest.approx(loss[0], rel=1e-5)
    moved = model.hidden.kernel.numpy().T.reshape(16, 4, 192)
    step = -trial.learning_rate * gradient[0]
    np.testing.assert_allclose(moved - weights[0], step, atol=1e-6)
    fall = twin.biases[0] - model.hidden.bias.numpy().reshape(16, 4)
    np.testing.assert_allclose(fall, np.linalg.norm(step, axis=-1) / 2, atol=1e-6)
    assert fall.max() > 1e-4


def test_superclass_labels_miss_what_fine_labels_learn(data):
    errors = {}
    for level in ("superclass", "fine"):
        trial = PatchTrial(level, 1, level, num_neurons=512, snapshots=(10, 150))
        rows = run_patch_trial(data, trial, (0,))
        assert [row["step"] for row in rows] == [10, 150]
        errors[level] = rows[-1]
    assert errors["superclass"]["easy_error_max"] <= 0.01
    assert errors["fine"]["easy_error_max"] <= 0.01
    assert errors["superclass"]["hard_error_max"] >= 0.5
    assert errors["fine"]["hard_error_max"] <= 0.02


def test_the_same_seed_gives_the_same_numbers(data):
    trial = PatchTrial("fine", 4, "fine", num_neurons=64, snapshots=(5,))
    first, second = run_patch_trial(data, trial, (7, 8)), run_patch_trial(data, trial, (7, 8))
    assert first == second
    assert first[0]["train_loss"] != first[1]["train_loss"]


def test_mistakes_are_told(data):
    with pytest.raises(ValueError, match="batch_size is 0: expected more than zero"):
        PatchTrial("a", 1, "fine", batch_size=0)
    with pytest.raises(ValueError, match="expected steps, 1 or more"):
        PatchTrial("a", 1, "fine", snapshots=())
    with pytest.raises(ValueError, match="10 neurons cannot be shared equally among 8 outputs"):
        PatchNetwork(8, PatchTrial("a", 1, "fine", num_neurons=10), 0)
    test = data.test
    unflagged = Examples(test.images, test.image_ids, test.leaf_labels)
    with pytest.raises(ValueError, match="not flagged as easy or hard"):
        PatchData(data.train, unflagged, data.taxonomy)
