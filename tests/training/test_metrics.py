"""Counts one can check on fingers."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from fine2coarse.training.evaluate import Predictions, class_margin_rank
from fine2coarse.training.metrics import count_errors, count_right

pytestmark = pytest.mark.both_backends


def predictions(scores: list[list[float]], targets: list[int]) -> Predictions:
    labels = ops.convert_to_tensor(targets, "int32")
    found = class_margin_rank(ops.convert_to_tensor(scores), labels)
    return Predictions(np.asarray(targets), *map(ops.convert_to_numpy, found))


def test_margin_and_rank():
    found = predictions([[1.0, 3.0, 2.0], [5.0, 1.0, 0.0]], [2, 0])
    assert found.predicted.tolist() == [1, 0]
    assert found.margins.tolist() == [-1.0, 4.0]
    assert found.ranks.tolist() == [1, 0]


def test_balanced_accuracy_counts_classes_not_images():
    scores = np.eye(7)[[0, 0, 0, 1, 6]].tolist()
    counts = count_right(predictions(scores, [0, 0, 0, 0, 6]), [f"c{i}" for i in range(7)])
    assert counts["num_images"] == 5 and counts["num_top1"] == 4
    assert counts["per_class"] == {"c0": [3, 4], "c6": [1, 1]}
    assert counts["balanced_accuracy"] == pytest.approx((3 / 4 + 1) / 2)
    assert counts["num_top5"] == 5


def test_hard_and_easy_are_counted_apart():
    wrong, hard = np.array([True, False, True]), np.array([True, True, False])
    assert count_errors(wrong, hard) == {
        "num_wrong": 2, "num_images": 3, "easy_wrong": 1, "easy_images": 1,
        "hard_wrong": 1, "hard_images": 2,
    }  # fmt: skip
