"""Coarse logits from fine ones: by hand, against sums of probabilities, and their gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from fine2coarse.labels.class_map import ClassMap
from fine2coarse.models import Classifier, LinearHead, Summation
from fine2coarse.models.roles import kernels
from fine2coarse.models.summation import averaged_head
from fine2coarse.recipes.backbone_spec import BackboneSpec
from fine2coarse.training.losses import LOSSES

pytestmark = pytest.mark.both_backends

LOSS_PAIRS = [(fine, coarse) for fine in LOSSES for coarse in LOSSES]
# Classes 0 and 1 belong to target 0, class 2 to target 1.
NESTED = ClassMap.from_labels(np.arange(3)[:, None], np.array([0, 0, 1]), (3, 2))
# Half of class 1's images belong to either target.
SHARED = ClassMap.from_labels(np.array([[0], [1], [1], [2]]), np.array([0, 0, 1, 1]), (3, 2))


def random_map(generator: np.random.Generator, kind: str) -> ClassMap:
    """Of 12 classes and 4 targets, some of them empty."""
    count = 60
    targets = generator.integers(0, 4, count)
    if kind == "nested":
        labels = (targets * 3 + generator.integers(0, 2, count))[:, None]
    elif kind == "one a class":
        return ClassMap.from_labels(np.arange(count)[:, None], targets, (count, 4))
    else:
        labels = generator.integers(0, 11, (count, 1 if kind == "unaligned" else 2))
    return ClassMap.from_labels(labels, targets, (12, 4))


def gradient_of(function: Callable[[Any], Any], values: np.ndarray) -> np.ndarray:
    """Of a scalar, by the backend's own differentiation."""
    if keras.config.backend() == "jax":
        import jax

        return np.asarray(jax.grad(function)(values))
    import tensorflow as tf

    variable = tf.Variable(values)
    with tf.GradientTape() as tape:
        value = function(variable)
    return keras.ops.convert_to_numpy(tape.gradient(value, variable))


def probabilities(logits: np.ndarray, loss: str) -> np.ndarray:
    logits = logits.astype(np.float64)
    if loss == "sigmoid":
        return 1 / (1 + np.exp(-logits))
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def test_softmax_by_hand():
    logits = np.log([[0.2, 0.3, 0.5]]).astype(np.float32)
    assert np.allclose(np.exp(Summation(NESTED)(logits)), [[0.5, 0.5]])
    assert np.allclose(np.exp(Summation(SHARED)(logits)), [[0.35, 0.65]])


def test_sigmoid_by_hand():
    # Each class by itself: 0.5, 0.8 and 0.2, so 1.3 and 0.2 classes of the targets are expected.
    logits = np.log([[1.0, 4.0, 0.25]]).astype(np.float32)
    assert np.allclose(np.exp(Summation(NESTED, "sigmoid")(logits)), [[1.3, 0.2]])
    shared = np.exp(Summation(SHARED, "sigmoid")(logits))
    assert np.allclose(shared, [[0.9, 0.6]])
    coarse = Summation(NESTED, "sigmoid", "sigmoid")(logits)
    assert np.allclose(keras.ops.sigmoid(coarse), [[1 - np.exp(-1.3), 1 - np.exp(-0.2)]])


def test_sigmoids_over_a_fine_softmax_are_its_probabilities():
    logits = np.log([[0.2, 0.3, 0.5]]).astype(np.float32)
    assert np.allclose(
        keras.ops.sigmoid(Summation(SHARED, "softmax", "sigmoid")(logits)), [[0.35, 0.65]]
    )


def test_targets_without_classes_are_never_chosen():
    class_map = ClassMap.from_labels(np.arange(2)[:, None], np.array([0, 2]), (2, 3))
    assert Summation(class_map)(np.zeros((1, 2), np.float32))[0, 1] == -1e4


def test_no_probability_is_too_small_for_nested_classes():
    found = Summation(NESTED)(np.array([[0.0, -1.0, 500.0]], np.float32))
    assert np.allclose(found, [[-500 + np.log(1 + np.exp(-1)), 0]])


@pytest.mark.parametrize("kind", ["nested", "unaligned", "multi-label", "one a class"])
@pytest.mark.parametrize(("fine_loss", "loss"), LOSS_PAIRS)
def test_the_largest_target_is_that_of_the_summed_probabilities(kind, fine_loss, loss):
    for seed in range(20):
        generator = np.random.default_rng(seed)
        class_map = random_map(generator, kind)
        logits = generator.normal(0, 3, (50, class_map.num_classes)).astype(np.float32)
        sums = probabilities(logits, fine_loss) @ class_map.dense()
        found = np.asarray(Summation(class_map, fine_loss, loss)(logits))
        first, second = np.sort(sums)[:, ::-1].T[:2]
        clear = first - second > 1e-5  # float32 cannot tell others apart
        assert clear.mean() > 0.9
        assert np.array_equal(found.argmax(-1)[clear], sums.argmax(-1)[clear])


@pytest.mark.parametrize("kind", ["nested", "unaligned", "multi-label"])
@pytest.mark.parametrize(("fine_loss", "loss"), LOSS_PAIRS)
def test_gradient_against_differences(kind, fine_loss, loss):
    generator = np.random.default_rng(3)
    class_map = random_map(generator, kind)
    logits = generator.normal(0, 1, (2, class_map.num_classes)).astype(np.float32)
    labels = np.array([[0], [2]], np.int32)

    def mean_loss(values: np.ndarray) -> Any:
        coarse = Summation(class_map, fine_loss, loss)(values)
        return keras.ops.sum(LOSSES[loss](coarse, labels, 0.1))

    gradient = gradient_of(mean_loss, logits)
    step, differences = 1e-2, np.zeros_like(gradient)
    for index in np.ndindex(*gradient.shape):
        nudge = np.zeros_like(gradient)
        nudge[index] = step
        up, down = mean_loss(logits + nudge), mean_loss(logits - nudge)
        differences[index] = (float(up) - float(down)) / (2 * step)
    largest = np.abs(gradient).max()
    assert largest > 0.01 and np.allclose(gradient, differences, atol=0.05 * largest)


def test_a_softmax_loss_on_summed_logits_is_the_negative_log_of_the_sum():
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    labels = np.array([[0], [1], [1], [0], [1]])
    losses = LOSSES["softmax"](Summation(SHARED)(logits), labels)
    sums = probabilities(logits, "softmax") @ SHARED.dense()
    assert np.allclose(losses, -np.log(sums[np.arange(5), labels[:, 0]]), atol=1e-6)


def test_an_averaged_head_means_weights_and_adds_the_number_of_classes():
    kernel, bias = np.array([[1.0, 3.0, 5.0]]), np.array([0.0, 2.0, 4.0])
    found_kernel, found_bias = averaged_head(kernel, bias, NESTED)
    assert np.allclose(found_kernel, [[2, 5]]) and np.allclose(found_bias, [1 + np.log(2), 4])
    # Where a target's classes score alike, it is the summed head.
    alike = averaged_head(np.array([[1.0, 1.0, 5.0]]), np.zeros(3), NESTED)
    summed = Summation(NESTED)(np.array([[1.0, 1.0, 5.0]], np.float32))
    assert np.allclose(keras.ops.log_softmax(alike[0] + alike[1]), summed)


def test_a_summed_classifier_trains_its_fine_head_and_decays_its_kernel():
    spec = BackboneSpec("mlp_B_2-Wi_64", 8)
    model = Classifier(spec, 3, seed=0, summation=Summation(NESTED))
    assert model(np.zeros((2, 8, 8, 3), np.float32)).shape == (2, 2)
    fine = Classifier(spec, 3, seed=0)
    assert [w.shape for w in model.weights] == [w.shape for w in fine.weights]
    assert len({id(k) for k in kernels(model)}) == len({id(k) for k in kernels(fine)})
    probe = LinearHead(64, 3, seed=0, summation=Summation(NESTED))
    assert probe(np.zeros((2, 64), np.float32)).shape == (2, 2)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="reads TensorFlow's graph")
def test_tens_of_thousands_of_classes_stay_cheap():
    """A label for each of 36,000 images: nothing is larger than the logits themselves."""
    import tensorflow as tf

    count = 36_000
    class_map = ClassMap.from_labels(np.arange(count)[:, None], np.arange(count) % 23, (count, 23))
    summed = tf.function(Summation(class_map)).get_concrete_function(
        tf.TensorSpec((128, count), tf.float32)
    )
    sizes = [
        tensor.shape.num_elements() or 0
        for operation in summed.graph.get_operations()
        for tensor in operation.outputs
    ]
    assert max(sizes) == 128 * count
