"""Intervals and p-values for means over training runs (seeds) and test images.

**What is random.** Two things: the *training run* (its seed decides initial weights, order of
images, augmentation, random label spaces) and the *test images* (a sample of those that could have
been taken). A claim about label spaces is one about other seeds and other images, so both count.

**Intervals.** For a table x[s, i] of S seeds by N images (an error, or a difference of errors), the
mean's variance is that of a two-way random layout without replicates: a part of the seeds, a part
of the images, and their interaction,

    seeds   V_S = max(variance of the S means over images, residual variance / N) / S
    images  V_I = max(variance of the N means over seeds - residual variance / S, 0) / N

V_S holds the interaction as well, and is never taken as smaller than what the interaction alone
makes. The half-width at confidence 1 - a is

    sqrt(t(1 - a/2; S - 1)² V_S + t(1 - a/2; N - 1)² V_I),

each part with its own quantile of Student's t (Banerjee, Sankhya 22, 1960: the confidence is at
least 1 - a, at every a, whatever the ratio of the two variances). Where the images' part is nil
this is the paired t-test over seeds. The p-value is the a at which the interval just reaches zero.

**Borrowing between arms.** Three seeds tell little of a variance. As for microarrays (Smyth,
Statistical Applications in Genetics and Molecular Biology 3, 2004), each arm's variance over seeds
is moderated by the mean of all arms', which weighs as much as d = 2 (1 - 1/arms) further seeds and
adds d degrees of freedom; an arm's own variance is used where it is the larger one. The weight is
fixed and small, not estimated: estimated from a dozen arms of three seeds that share a baseline, it
declared winners among identical arms.

**Why no bootstrap.** Resampling k seeds shrinks their variance by (k - 1)/k, and percentiles over
three values cannot have the tails of t with two degrees of freedom; on the other hand, resampling
seeds and images counts their interaction three times (Owen, Annals of Applied Statistics 1, 2007).
So it is too narrow where runs vary much and too wide where they hardly do. `benchmarks/coverage.py`
runs both on simulated studies whose truth is known.

**Ratios.** The ratio of two means has the interval of Fieller: all ratios r for which the mean of
(arm - r · baseline) is not distinguishable from zero. It excludes one exactly where the interval of
the difference excludes zero.

**Many arms, two uses.** P-values are adjusted by Holm's method (Scandinavian Journal of Statistics
6, 1979), which holds however the tests depend on each other; Dunnett's test (SciPy's `dunnett`)
wants independent groups of equal variance, and these are paired. An arm's direct and transferred
use are two tests, unless they are the same model in every seed. Both uses' runs vary together, so
an arm borrows from other arms in the same use only: its own other use knows nothing new.

**Chosen transfers.** A transfer is chosen by its error on held-out training images. Test images
have no part in that, so the chosen one's test error is as good an estimate as any other: of the
error of *training, trying and choosing*. What varies with the choice varies from seed to seed, and
is in the seeds' part of the variance.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np
from scipy import optimize, special

from fine2coarse.errors import UsageError

_SMALLEST_P = 1e-12
_PRIOR_SEEDS = 2.0  # what the other arms' variance weighs at most: see the module's text
_LARGEST_RATIO = 100.0
_Name = TypeVar("_Name", bound=Hashable)


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval.

    Attributes:
      estimate: what was measured.
      low: lower end; NaN where the runs do not bound it (one seed says nothing of other seeds).
      high: upper end; NaN likewise.
    """

    estimate: float
    low: float
    high: float

    @property
    def is_known(self) -> bool:
        """Whether there are bounds."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    @property
    def excludes_zero(self) -> bool:
        """Whether all of it lies on one side of zero."""
        return self.low > 0 or self.high < 0

    @property
    def flipped(self) -> Interval:
        """The interval of the same with the other sign."""
        return Interval(-self.estimate, -self.high, -self.low)


@dataclasses.dataclass(frozen=True)
class TwoWayMean:
    """The mean of a table [seeds, images], with the parts of its variance.

    Attributes:
      mean: of all cells.
      seed_variance: of one seed's mean over images: V_S times S; NaN for one seed.
      seed_freedom: degrees of freedom of that variance.
      images_variance: V_I.
      num_seeds: S.
      num_images: N.
    """

    mean: float
    seed_variance: float
    seed_freedom: float
    images_variance: float
    num_seeds: int
    num_images: int

    @classmethod
    def of(cls, table: np.ndarray) -> TwoWayMean:
        """From numbers [S, N].

        Raises:
          UsageError: where there are fewer than 2 images.
        """
        table = np.asarray(table, np.float64)
        seeds, images = table.shape
        if images < 2:
            raise UsageError(f"expected at least 2 test images to compare on, got {images}")
        of_seeds, of_images, mean = table.mean(1), table.mean(0), table.mean()
        if seeds < 2:
            return cls(float(mean), math.nan, 0, float(of_images.var(ddof=1) / images), 1, images)
        rest = table - of_seeds[:, None] - of_images + mean
        residual = (rest**2).sum() / ((seeds - 1) * (images - 1))
        return cls(
            mean=float(mean),
            seed_variance=float(max(of_seeds.var(ddof=1), residual / images)),
            seed_freedom=seeds - 1,
            images_variance=float(max(of_images.var(ddof=1) - residual / seeds, 0.0) / images),
            num_seeds=seeds,
            num_images=images,
        )

    def half_width(self, alpha: float) -> float:
        """Of the interval at confidence 1 - alpha; NaN for one seed."""
        if self.num_seeds < 2:
            return math.nan
        of_seeds = special.stdtrit(self.seed_freedom, alpha / 2) ** 2 * self.seed_variance
        of_images = special.stdtrit(self.num_images - 1, alpha / 2) ** 2 * self.images_variance
        return math.sqrt(of_seeds / self.num_seeds + of_images)

    def interval(self, confidence: float, low: float = -1.0, high: float = 1.0) -> Interval:
        """Around the mean, cut off at the values that it can have at all."""
        half = self.half_width(1 - confidence)
        if math.isnan(half):
            return Interval(self.mean, math.nan, math.nan)
        return Interval(self.mean, max(self.mean - half, low), min(self.mean + half, high))

    def p_value(self) -> float:
        """Two-sided, of a mean of zero, 1e-12 at least; NaN for one seed."""
        if self.num_seeds < 2:
            return math.nan
        if self.mean == 0.0:
            return 1.0

        def excess(log_p: float) -> float:
            return self.half_width(math.exp(log_p)) - abs(self.mean)

        smallest = math.log(_SMALLEST_P)
        return math.exp(optimize.brentq(excess, smallest, 0)) if excess(smallest) > 0 else 1e-12


def moderate(means: Mapping[_Name, TwoWayMean]) -> dict[_Name, TwoWayMean]:
    """The same means with their variances over seeds moderated by each other's.

    Means of one seed neither give nor take.
    """
    several = [mean for mean in means.values() if mean.num_seeds > 1]
    if len(several) < 2:
        return dict(means)
    freedoms = [mean.num_seeds - 1 for mean in several]
    typical = float(np.average([mean.seed_variance for mean in several], weights=freedoms))
    prior = _PRIOR_SEEDS * (1 - 1 / len(several))
    return {name: _moderated(mean, typical, prior) for name, mean in means.items()}


def _moderated(mean: TwoWayMean, typical: float, prior: float) -> TwoWayMean:
    if mean.num_seeds < 2:
        return mean
    own = mean.num_seeds - 1
    shrunk = (prior * typical + own * mean.seed_variance) / (prior + own)
    return dataclasses.replace(
        mean, seed_variance=max(shrunk, mean.seed_variance), seed_freedom=prior + own
    )


def ratio(
    ours: np.ndarray, base: np.ndarray, difference: TwoWayMean, confidence: float
) -> Interval | None:
    """The ratio of two tables' means.

    Args:
      ours: numbers [S, N], not negative.
      base: numbers [S, N], not negative.
      difference: of the two tables, moderated or not; so is the ratio.
      confidence: of the interval.

    Returns:
      From 0 at least; the upper end is infinite where the base is not clearly above zero. None
      where the base is zero.
    """
    if not base.mean():
        return None
    estimate = float(ours.mean() / base.mean())
    if difference.num_seeds < 2:
        return Interval(estimate, math.nan, math.nan)
    borrowed = difference.seed_variance - TwoWayMean.of(ours - base).seed_variance

    def excess(tried: float) -> float:
        own = TwoWayMean.of(ours - tried * base)
        mean = dataclasses.replace(
            own,
            seed_variance=own.seed_variance + borrowed,
            seed_freedom=difference.seed_freedom,
        )
        return abs(mean.mean) - mean.half_width(1 - confidence)

    return Interval(
        estimate,
        _crossing(excess, estimate, 0.0, otherwise=0.0),
        _crossing(excess, estimate, max(_LARGEST_RATIO, 2 * estimate), otherwise=math.inf),
    )


def _crossing(
    excess: Callable[[float], float], start: float, end: float, otherwise: float
) -> float:
    """Where the excess, not positive at `start`, first turns positive on the way to `end`."""
    if excess(start) >= 0:
        return start
    inside, step = start, 0.01 * max(start, 0.1)
    while inside != end:
        outside = min(inside + step, end) if end > start else max(inside - step, end)
        if excess(outside) > 0:
            return float(optimize.brentq(excess, *sorted((inside, outside)), xtol=1e-9))
        inside, step = outside, 2 * step
    return otherwise


def holm(p_values: Mapping[_Name, float]) -> dict[_Name, float]:
    """P-values adjusted for their number by Holm's method; NaN ones are left out."""
    known = sorted((p, name) for name, p in p_values.items() if not math.isnan(p))
    adjusted, largest = {}, 0.0
    for rank, (p, name) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[name] = largest
    return adjusted
