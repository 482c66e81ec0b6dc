"""One step by hand, the bias's fall, and where batches come from."""

import math

import numpy as np
import pytest

from fine2coarse.theory.data import MultiViewData, draw_samples
from fine2coarse.theory.network import (
    HeadedNetwork,
    Network,
    loss_and_gradient,
    random_head,
    summed_loss_and_gradients,
)
from fine2coarse.theory.training import (
    TrainingSettings,
    fixed_batches,
    fresh_batches,
    start,
    train,
    train_headed,
)

_DATA = MultiViewData(num_subclasses=2, num_dimensions=20)


def _rngs(*seeds):
    return [np.random.default_rng(seed) for seed in seeds]


def _one_step(recipe):
    """A network before and after one step, and the gradient between them."""
    network = start(_DATA, recipe, _rngs(0, 1), 4, 8)
    samples = draw_samples(_DATA, _rngs(2, 3), recipe.batch_size)
    before = network.copy()
    loss, gradient = loss_and_gradient(before, samples.patches, samples.leaves)
    (seen,) = train(network, [(samples.patches, samples.leaves)], recipe)
    np.testing.assert_array_equal(seen, loss)
    return before, network, gradient


def test_a_step_by_hand():
    before, after, gradient = _one_step(TrainingSettings(num_steps=5, bias_polylog=4.0))
    np.testing.assert_allclose(after.weights - before.weights, -0.02 * gradient, atol=1e-8)
    length = np.linalg.norm(after.weights - before.weights, axis=-1)
    assert length.max() > 1e-4
    np.testing.assert_allclose(before.biases - after.biases, length / 4, atol=1e-8)


def test_infinite_polylog_keeps_the_bias():
    before, after, _ = _one_step(TrainingSettings(num_steps=1, bias_polylog=math.inf))
    np.testing.assert_array_equal(before.biases, after.biases)
    assert not np.array_equal(before.weights, after.weights)


@pytest.mark.parametrize("trains_backbone", [True, False])
def test_a_step_of_backbone_and_head_by_hand(trains_backbone):
    recipe = TrainingSettings(num_steps=1, bias_polylog=4.0)
    network = HeadedNetwork(
        start(_DATA, recipe, _rngs(0, 1), 4, 8), random_head(_rngs(4, 5), 2, 32, 1.0)
    )
    samples = draw_samples(_DATA, _rngs(2, 3), recipe.batch_size)
    batch = samples.patches, _DATA.superclass_of(samples.leaves)
    before = network.copy()
    loss, gradient, head_gradient = summed_loss_and_gradients(before, *batch, [0, 1])
    (seen,) = train_headed(network, [batch], [0, 1], recipe, 0.5, trains_backbone=trains_backbone)
    np.testing.assert_array_equal(seen, loss)
    np.testing.assert_allclose(network.head - before.head, -0.5 * head_gradient, atol=1e-7)
    assert np.abs(head_gradient).max() > 1e-5
    old, new = before.backbone, network.backbone
    if not trains_backbone:
        np.testing.assert_array_equal(new.weights, old.weights)
        np.testing.assert_array_equal(new.biases, old.biases)
        return
    np.testing.assert_allclose(new.weights - old.weights, -0.02 * gradient, atol=1e-8)
    length = np.linalg.norm(new.weights - old.weights, axis=-1)
    assert length.max() > 1e-4
    np.testing.assert_allclose(old.biases - new.biases, length / 4, atol=1e-8)


def test_training_stops_after_its_steps():
    recipe = TrainingSettings(num_steps=3)
    network = start(_DATA, recipe, _rngs(0), 4, 8)
    batches = ((b.patches, b.leaves) for b in fresh_batches(_DATA, _rngs(1), recipe.batch_size))
    assert len(list(train(network, batches, recipe))) == 3


def test_a_seed_trains_alike_alone_and_beside_others():
    recipe = TrainingSettings(num_steps=20)

    def trained(*seeds):
        network = start(_DATA, recipe, _rngs(*seeds), 4, 8)
        rngs = _rngs(*(100 + seed for seed in seeds))
        batches = ((b.patches, b.leaves) for b in fresh_batches(_DATA, rngs, 32))
        *_, loss = train(network, batches, recipe)
        return network, loss

    (together, losses), (alone, loss) = trained(0, 1, 2), trained(1)
    np.testing.assert_array_equal(together.weights[1], alone.weights[0])
    np.testing.assert_array_equal(together.biases[1], alone.biases[0])
    assert losses[1] == loss[0] != losses[0]


def test_fixed_batches_repeat_the_same_images():
    samples = draw_samples(_DATA, _rngs(0), 5)
    batches = fixed_batches(samples, _rngs(1), 64)
    for _ in range(3):
        batch, index = next(batches)
        assert set(index[0]) == set(range(5))
        np.testing.assert_array_equal(batch.patches[0], samples.patches[0][index[0]])
        np.testing.assert_array_equal(batch.leaves[0], samples.leaves[0][index[0]])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_steps", 0),
        ("batch_size", -1),
        ("learning_rate", 0.0),
        ("init_std", -1e-3),
        ("bias_polylog", 0.0),
        ("bias_threshold", -1.0),
        ("bias_threshold", math.inf),
    ],
)
def test_recipes_are_checked(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}: expected"):
        TrainingSettings(**{name: value})


def test_copies_are_not_trained():
    network = Network(np.zeros((1, 1, 1, 2)), np.zeros((1, 1, 1)))
    kept = network.copy()
    network.weights[...] = 1
    assert not kept.weights.any()
