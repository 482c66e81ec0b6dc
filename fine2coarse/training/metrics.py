"""Metrics as exact counts: numerator and denominator, never a mean of batch means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fine2coarse.training.evaluate import Predictions


def count_errors(wrong: np.ndarray, hard: np.ndarray | None) -> dict[str, int]:
    """Numerators and denominators of the error, for all images and for easy and hard ones."""
    counts = {"num_wrong": int(wrong.sum()), "num_images": len(wrong)}
    for name, members in (("easy", None if hard is None else ~hard), ("hard", hard)):
        if members is not None:
            counts[f"{name}_wrong"] = int(wrong[members].sum())
            counts[f"{name}_images"] = int(members.sum())
    return counts


def count_right(predictions: Predictions, class_ids: Sequence[str]) -> dict[str, Any]:
    """How many images are right: top-1, top-5, and of each class.

    Returns:
      num_images; num_top1; num_top5 (left out where there are no more than 5 classes); per_class:
      class id → [right, all], for the classes that have images; balanced_accuracy: the mean of
      right / all over these classes, a fraction.
    """
    targets, right = predictions.targets, ~predictions.wrong
    totals = np.bincount(targets, minlength=len(class_ids))
    rights = np.bincount(targets[right], minlength=len(class_ids))
    present = np.flatnonzero(totals)
    counts: dict[str, Any] = {"num_images": len(targets), "num_top1": int(right.sum())}
    if len(class_ids) > 5:
        counts["num_top5"] = int((predictions.ranks < 5).sum())
    counts["balanced_accuracy"] = float(np.mean(rights[present] / totals[present]))
    counts["per_class"] = {class_ids[c]: [int(rights[c]), int(totals[c])] for c in present}
    return counts
