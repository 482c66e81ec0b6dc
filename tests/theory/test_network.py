"""The network: by hand, by finite differences, and under rotation."""

import numpy as np
import pytest

from fine2coarse.theory.network import (
    HeadedNetwork,
    Network,
    init_network,
    log_sum_exp,
    logits,
    loss_and_gradient,
    random_head,
    summed_loss_and_gradients,
    summing_head,
)


def _random(seeds=2, outputs=3, neurons=4, dimensions=5):
    rngs = [np.random.default_rng([seed, 9]) for seed in range(seeds)]
    network = init_network(rngs, outputs, neurons, dimensions, 1.0, 0.3, np.float64)
    patches = np.stack([rng.standard_normal((6, 7, dimensions)) for rng in rngs])
    labels = np.stack([rng.integers(outputs, size=6) for rng in rngs])
    return network, patches, labels


def test_logits_by_hand():
    # One seed, two outputs, one neuron each, two dimensions, two patches.
    network = Network(np.array([[[[1.0, 0.0]], [[0.0, 2.0]]]]), np.array([[[-0.5], [0.0]]]))
    patches = np.array([[[[1.0, 1.0], [2.0, -1.0]]]])
    # Output 0: ReLU(1 - ½) + ReLU(2 - ½); output 1: ReLU(2) + ReLU(-2).
    np.testing.assert_allclose(logits(network, patches), [[[2.0, 2.0]]])


def test_initialisation():
    rngs = [np.random.default_rng(0)]
    network = init_network(rngs, 10, 20, 50, 1e-3, 2.0)
    assert network.weights.dtype == np.float32
    assert network.weights.std() == pytest.approx(1e-3, rel=0.02)
    np.testing.assert_allclose(network.biases, -2e-3, rtol=1e-6)


def test_loss_is_cross_entropy():
    network, patches, labels = _random()
    loss, _ = loss_and_gradient(network, patches, labels)
    scores = logits(network, patches)
    probability = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    picked = np.take_along_axis(probability, labels[..., None], -1)[..., 0]
    np.testing.assert_allclose(loss, -np.log(picked).mean(-1))


def test_gradient_matches_finite_differences():
    network, patches, labels = _random()
    _, gradient = loss_and_gradient(network, patches, labels)
    assert gradient.shape == network.weights.shape
    step = 1e-6
    numeric = np.zeros_like(gradient)
    for position in np.ndindex(network.weights.shape):
        losses = []
        for sign in (1, -1):
            moved = network.copy()
            moved.weights[position] += sign * step
            losses.append(loss_and_gradient(moved, patches, labels)[0][position[0]])
        numeric[position] = (losses[0] - losses[1]) / (2 * step)
    assert np.abs(numeric).max() > 0.01
    np.testing.assert_allclose(gradient, numeric, atol=1e-7)


def test_gradient_of_a_single_precision_network_is_the_same():
    network, patches, labels = _random()
    single = Network(network.weights.astype(np.float32), network.biases.astype(np.float32))
    _, exact = loss_and_gradient(network, patches, labels)
    _, gradient = loss_and_gradient(single, patches.astype(np.float32), labels)
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, exact, atol=1e-5)


def test_rotating_images_and_weights_changes_nothing():
    # Why features may lie along the axes: the rest of the model knows no direction.
    network, patches, labels = _random()
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))
    turned = Network(network.weights @ rotation, network.biases)
    loss, gradient = loss_and_gradient(network, patches, labels)
    turned_loss, turned_gradient = loss_and_gradient(turned, patches @ rotation, labels)
    np.testing.assert_allclose(turned_loss, loss)
    np.testing.assert_allclose(turned_gradient, gradient @ rotation, atol=1e-12)


def test_regrouped_neurons_are_summed():
    network, patches, _ = _random(outputs=4)
    coarse = network.regroup(2)
    assert coarse.weights.shape == (2, 2, 8, 5)
    summed = logits(network, patches).reshape(2, 6, 2, 2).sum(-1)
    np.testing.assert_allclose(logits(coarse, patches), summed)
    with pytest.raises(ValueError, match="16 neurons cannot be shared equally among 3 outputs"):
        network.regroup(3)


def test_log_sum_exp_is_stable():
    scores = np.array([[1000.0, 1000.0, -np.inf]])
    np.testing.assert_allclose(log_sum_exp(scores), [[1000 + np.log(2)]])


def _random_headed(classes=5):
    network, patches, _ = _random()
    rngs = [np.random.default_rng([seed, 8]) for seed in range(2)]
    head = random_head(rngs, classes, 12, 1.0, np.float64)
    superclasses = np.stack([rng.integers(2, size=6) for rng in rngs])
    return HeadedNetwork(network, head), patches, superclasses


@pytest.mark.parametrize("table", [[0, 1], [0, 0, 1, 0, 1]])
def test_gradients_of_summed_probabilities_match_finite_differences(table):
    network, patches, superclasses = _random_headed(len(table))
    _, *gradients = summed_loss_and_gradients(network, patches, superclasses, table)
    step = 1e-6
    for gradient, part in zip(
        gradients, (lambda n: n.backbone.weights, lambda n: n.head), strict=True
    ):
        numeric = np.zeros_like(part(network))
        for position in np.ndindex(numeric.shape):
            losses = []
            for sign in (1, -1):
                moved = network.copy()
                part(moved)[position] += sign * step
                loss, *_ = summed_loss_and_gradients(moved, patches, superclasses, table)
                losses.append(loss[position[0]])
            numeric[position] = (losses[0] - losses[1]) / (2 * step)
        assert np.abs(numeric).max() > 0.01
        np.testing.assert_allclose(gradient, numeric, atol=1e-7)


def test_loss_is_that_of_the_summed_probabilities():
    # Classes 0 and 2 are superclass 0; scores ln 1, ln 2, ln 3: it has 4 of 6.
    weights = np.log([[[1.0, 2.0, 3.0]]]).swapaxes(1, 2)
    backbone = Network(np.ones((1, 1, 1, 1)), np.zeros((1, 1, 1)))
    network = HeadedNetwork(backbone, weights)
    patches, superclasses = np.ones((1, 1, 1, 1)), np.array([[0]])
    loss, *_ = summed_loss_and_gradients(network, patches, superclasses, [0, 1, 0])
    np.testing.assert_allclose(loss, -np.log(4 / 6))


def test_a_frozen_second_layer_is_a_head_of_zeros_and_ones():
    network, patches, labels = _random()
    head = summing_head(network, 3)
    assert head.sum(1).tolist() == np.ones((2, 12)).tolist()
    plain, gradient = loss_and_gradient(network, patches, labels)
    loss, same, _ = summed_loss_and_gradients(
        HeadedNetwork(network, head), patches, labels, np.arange(3)
    )
    np.testing.assert_allclose(loss, plain)
    np.testing.assert_allclose(same, gradient, atol=1e-12)


def test_a_single_precision_headed_network_stays_so():
    network, patches, superclasses = _random_headed()
    backbone = network.backbone
    single = HeadedNetwork(
        Network(backbone.weights.astype(np.float32), backbone.biases.astype(np.float32)),
        network.head.astype(np.float32),
    )
    _, *gradients = summed_loss_and_gradients(
        single, patches.astype(np.float32), superclasses, [0, 0, 1, 0, 1]
    )
    assert [gradient.dtype for gradient in gradients] == [np.float32, np.float32]
