"""Gains on two parts of the test images, easy and hard, with intervals."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from fine2coarse.analysis.intervals import Interval, TwoWayMean, moderate


@dataclasses.dataclass(frozen=True)
class Gain:
    """Errors avoided on easy and on hard images; fractions.

    Attributes:
      easy: error of the one minus error of the other recipe, on easy images.
      hard: the same on hard images.
      difference: hard minus easy.
      easy_error: of the recipe that is to be improved on, on easy images.
      hard_error: on hard ones.
    """

    easy: Interval
    hard: Interval
    difference: Interval
    easy_error: float
    hard_error: float


@dataclasses.dataclass(frozen=True, eq=False)
class SplitErrors:
    """What a gain is made of: tables [seeds, images].

    Attributes:
      before: float [S, N], 1 where the recipe that is to be improved on is wrong.
      after: float [S, N], 1 where the other recipe is wrong.
      hard: bool [S, N], the images that are hard at each seed.
    """

    before: np.ndarray
    after: np.ndarray
    hard: np.ndarray

    @property
    def is_usable(self) -> bool:
        """Whether every seed has 2 easy and 2 hard images or more."""
        sizes = self.hard.sum(1)
        return bool(sizes.min() >= 2 and sizes.max() <= self.hard.shape[1] - 2)

    @functools.cached_property
    def tables(self) -> dict[str, np.ndarray]:
        """Numbers [S, N] whose means over images are each seed's gain on each part.

        An image adds N / part's size times its deviation from the part's mean gain; the mean of
        its row is then that seed's gain, and its column's spread what sampling images does to it.
        """
        gain = self.before - self.after
        easy, hard = (_of_part(gain, part) for part in (~self.hard, self.hard))
        return {"easy": easy, "hard": hard, "difference": hard - easy}


def _of_part(gain: np.ndarray, part: np.ndarray) -> np.ndarray:
    mean = _part_means(gain, part).mean()
    weight = part * (part.shape[1] / part.sum(1, keepdims=True))
    return weight * (gain - mean) + mean


def _part_means(table: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Each seed's mean over a part of the images: float [S]."""
    return (table * part).sum(1) / part.sum(1)


def gains(splits: Mapping[str, SplitErrors], confidence: float) -> dict[str, Gain]:
    """Arm → its gain; variances over seeds are moderated by the other arms'."""
    found = {
        part: intervals_of({arm: s.tables[part] for arm, s in splits.items()}, confidence, bound)
        for part, bound in (("easy", 1.0), ("hard", 1.0), ("difference", 2.0))
    }
    return {
        arm: Gain(
            easy=found["easy"][arm],
            hard=found["hard"][arm],
            difference=found["difference"][arm],
            easy_error=float(_part_means(split.before, ~split.hard).mean()),
            hard_error=float(_part_means(split.before, split.hard).mean()),
        )
        for arm, split in splits.items()
    }


def intervals_of(
    tables: Mapping[str, np.ndarray], confidence: float, bound: float = 1.0
) -> dict[str, Interval]:
    """Arm → mean and interval of its table.

    Args:
      tables: arm → numbers [S, N].
      confidence: of the intervals.
      bound: the mean lies within ± this.
    """
    means = moderate({arm: TwoWayMean.of(table) for arm, table in tables.items()})
    return {arm: mean.interval(confidence, -bound, bound) for arm, mean in means.items()}


def random_difference(split: SplitErrors, orders: Sequence[np.ndarray]) -> Interval:
    """Hard minus easy with the same numbers of hard images, and the same overlaps over seeds."""
    gain = split.before - split.after
    found = []
    for order in orders:
        hard = split.hard[:, order]
        found.append((_part_means(gain, hard) - _part_means(gain, ~hard)).mean())
    low, high = np.quantile(found, (0.025, 0.975))
    return Interval(float(np.mean(found)), float(low), float(high))
