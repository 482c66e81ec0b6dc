"""The loss over padded labels equals its dense form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from fine2coarse.training.losses import softmax_cross_entropy


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
