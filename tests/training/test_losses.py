"""The loss over padded labels equals its dense form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from fine2coarse.training.losses import (
    mix_pairs,
    mixed_loss,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)

pytestmark = pytest.mark.both_backends


def dense_loss(logits: np.ndarray, labels: list[list[int]], smoothing: float) -> np.ndarray:
    """Cross-entropy with targets written out as rows."""
    losses = []
    for row, classes in zip(logits, labels):
        distinct = sorted({c for c in classes if c >= 0})
        target = np.zeros(len(row))
        target[distinct] = 1 / max(len(distinct), 1)
        target = (1 - smoothing) * target + smoothing / len(row)
        losses.append(-(target * log_softmax(row)).sum() if distinct else 0.0)
    return np.asarray(losses)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_the_dense_form(smoothing):
    logits = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    labels = [[0, -1, -1], [3, 5, -1], [2, 2, 4], [6, 1, 0], [-1, -1, -1]]
    found = softmax_cross_entropy(logits, np.asarray(labels, np.int32), smoothing)
    np.testing.assert_allclose(found, dense_loss(logits, labels, smoothing), atol=1e-6)


def test_one_label_a_row():
    logits = np.asarray([[2.0, 0.0], [0.0, 0.0]], np.float32)
    found = softmax_cross_entropy(logits, np.asarray([[0], [1]], np.int32))
    np.testing.assert_allclose(found, [np.log(1 + np.exp(-2.0)), np.log(2.0)], atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_sigmoid_equals_the_dense_form(smoothing):
    logits = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    labels = [[0, -1, -1], [3, 5, -1], [2, 2, 4], [6, 1, 0], [-1, -1, -1]]
    dense = np.zeros((5, 7))
    for row, classes in zip(dense, labels):
        row[[c for c in classes if c >= 0]] = 1
    dense = (1 - smoothing) * dense + smoothing / 2
    z = logits.astype(np.float64)
    expected = -(dense * -np.logaddexp(0, -z) + (1 - dense) * -np.logaddexp(0, z)).sum(1)
    expected[4] = 0
    found = sigmoid_cross_entropy(logits, np.asarray(labels, np.int32), smoothing)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_a_bias_of_minus_ten_makes_sigmoid_start_small():
    found = sigmoid_cross_entropy(np.full((1, 1000), -10.0, np.float32), np.asarray([[3]]))
    np.testing.assert_allclose(found, 10 + 1000 * np.log1p(np.exp(-10)), rtol=1e-5)


def test_mixup_is_the_weighted_mean_of_both_labels():
    images = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1)
    share = np.asarray([0.75, 0.75, 1.0, 1.0], np.float32)
    mixed = np.asarray(mix_pairs(images, share))[:, 0, 0, 0]
    np.testing.assert_allclose(mixed, [0.25, 0.75, 2.0, 3.0])
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    labels = np.asarray([[0], [1], [2], [0]], np.int32)
    found = mixed_loss("softmax", logits, labels, 0.0, share)
    own = softmax_cross_entropy(logits, labels)
    partner = softmax_cross_entropy(logits, labels[[1, 0, 3, 2]])
    np.testing.assert_allclose(found, share * own + (1 - share) * partner, atol=1e-6)
