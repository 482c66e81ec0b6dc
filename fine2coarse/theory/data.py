"""The hierarchical multi-view data model of arXiv 2410.23129: what the laboratory trains on.

A superclass y (of K) has a *common* feature v_y; each of its k subclasses c has a *fine* feature
v_{y,c}. An easy image shows both; a hard one lacks the common feature and shows a little of a
wrong one instead. The features are orthonormal. Noise and initial weights are Gaussian with equal
variance in all directions, so rotating everything changes nothing, and the features can be taken,
without loss of generality, to be the first K(k+1) coordinate axes of R^d.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fine2coarse.errors import UsageError


@dataclass(frozen=True)
class MultiViewData:
    """The distribution of images; the paper's symbol stands beside each field.

    Raises:
      UsageError: a size that is not positive, more features than dimensions, or patches that do
        not fit; the message says what to change.
    """

    num_superclasses: int = 2  # K
    num_subclasses: int = 8  # k, in each superclass
    num_dimensions: int = 100  # d, of a patch
    num_patches: int = 12  # P
    num_feature_patches: int = 4  # s*, patches that show one feature
    num_wrong_patches: int = 4  # s†, patches of a hard image that show the wrong superclass
    wrong_strength: float = 0.4  # α†
    outlier_noise_std: float = 0.5  # σ*, of the last patch of a hard image
    gain_range: tuple[float, float] = (0.9, 1.1)  # a ~ U[·,·], drawn for each patch

    def __post_init__(self):
        self._check_sizes()
        if self.num_features > self.num_dimensions:
            raise UsageError(
                f"K(k+1) = {self.num_superclasses}·({self.num_subclasses}+1) = {self.num_features} "
                f"orthonormal features do not fit in d = {self.num_dimensions} dimensions: raise "
                f"num_dimensions to at least {self.num_features}, or lower num_superclasses or "
                "num_subclasses"
            )
        self._check_patches()
        low, high = self.gain_range
        if not 0 < low <= high:
            raise UsageError(f"gain_range is {self.gain_range}: expected 0 < low <= high")
        for name in ("wrong_strength", "outlier_noise_std"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} is {getattr(self, name)}: expected zero or more")

    def _check_sizes(self):
        smallest = {
            "num_superclasses": 2,  # a wrong superclass must exist
            "num_subclasses": 1,
            "num_dimensions": 2,  # ln d must not be zero
            "num_patches": 1,
            "num_feature_patches": 1,
            "num_wrong_patches": 0,
        }
        for name, least in smallest.items():
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least:
                raise UsageError(f"{name} is {value!r}: expected a whole number, {least} or more")

    def _check_patches(self):
        on_easy = 2 * self.num_feature_patches
        on_hard = self.num_feature_patches + self.num_wrong_patches + 1
        if max(on_easy, on_hard) > self.num_patches:
            raise UsageError(
                f"patches do not fit: an easy image needs 2·s* = {on_easy} and a hard one "
                f"s* + s† + 1 = {on_hard}, but num_patches is {self.num_patches}: raise "
                f"num_patches to at least {max(on_easy, on_hard)}, or lower num_feature_patches "
                f"(s* = {self.num_feature_patches}) or num_wrong_patches "
                f"(s† = {self.num_wrong_patches})"
            )

    @property
    def num_leaves(self) -> int:
        """K·k, the number of subclasses in all."""
        return self.num_superclasses * self.num_subclasses

    @property
    def num_features(self) -> int:
        """K(k+1), common and fine features together."""
        return self.num_superclasses + self.num_leaves

    @property
    def noise_std(self) -> float:
        """σ_ζ = 1/(√d ln d), the paper's noise of an ordinary patch, in each dimension."""
        return 1 / (math.sqrt(self.num_dimensions) * math.log(self.num_dimensions))

    def common_axis(self, superclass):
        """The coordinate along which v_y lies."""
        return superclass

    def fine_axis(self, leaf):
        """The coordinate along which v_{y,c} lies, where leaf = y·k + c."""
        return self.num_superclasses + leaf

    def superclass_of(self, leaf):
        """The superclass y of leaf = y·k + c."""
        return leaf // self.num_subclasses


@dataclass(frozen=True)
class Samples:
    """Images of several seeds: patches float32 [S, n, P, d], leaves int [S, n]."""

    patches: np.ndarray
    leaves: np.ndarray


def draw_samples(data: MultiViewData, rngs, num_samples: int, hard_share: float = 0.0) -> Samples:
    """Draws `num_samples` images for each of the generators in `rngs`, leaves uniform.

    An image is hard with probability `hard_share`. A seed's images depend on its generator only,
    not on the seeds that are drawn beside it.

    Raises:
      UsageError: `num_samples` not positive, or `hard_share` outside [0, 1].
    """
    if num_samples < 1:
        raise UsageError(f"num_samples is {num_samples}: expected one or more")
    if not 0 <= hard_share <= 1:
        raise UsageError(f"hard_share is {hard_share}: expected a share between 0 and 1")
    shape = (len(rngs), num_samples)
    patches = np.empty((*shape, data.num_patches, data.num_dimensions), np.float32)
    gains = np.empty((*shape, data.num_patches), np.float32)
    leaves, wrong = np.empty(shape, np.int64), np.empty(shape, np.int64)
    is_hard = np.empty(shape, bool)
    for seed, rng in enumerate(rngs):
        leaves[seed] = rng.integers(data.num_leaves, size=num_samples)
        is_hard[seed] = rng.random(num_samples) < hard_share
        # 1 … K-1 steps away from the true superclass, in the circle of superclasses.
        wrong[seed] = rng.integers(1, data.num_superclasses, size=num_samples)
        gains[seed] = rng.uniform(*data.gain_range, (num_samples, data.num_patches))
        rng.standard_normal(dtype=np.float32, out=patches[seed])
    _scale_noise(data, patches, is_hard)
    _add_features(data, patches, gains, leaves, wrong, is_hard)
    return Samples(patches, leaves)


def _scale_noise(data, patches, is_hard):
    patches *= np.float32(data.noise_std)
    # The last patch of a hard image is N(0, σ*²) instead of N(0, σ_ζ²).
    ratio = np.where(is_hard, data.outlier_noise_std / data.noise_std, 1.0)
    patches[:, :, -1] *= ratio[..., None].astype(np.float32)


def _add_features(data, patches, gains, leaves, wrong, is_hard):
    seed, sample = np.indices(leaves.shape)
    superclass = data.superclass_of(leaves)
    shown = np.where(is_hard, (superclass + wrong) % data.num_superclasses, superclass)
    strength = np.where(is_hard, data.wrong_strength, 1.0).astype(np.float32)
    num_shown = np.where(is_hard, data.num_wrong_patches, data.num_feature_patches)
    first = data.num_feature_patches
    for patch in range(first):
        patches[seed, sample, patch, data.fine_axis(leaves)] += gains[:, :, patch]
    for patch in range(first, first + max(first, data.num_wrong_patches)):
        gain = np.where(patch - first < num_shown, strength * gains[:, :, patch], 0)
        patches[seed, sample, patch, data.common_axis(shown)] += gain.astype(np.float32)
