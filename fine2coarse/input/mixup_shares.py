"""Mixup's shares (Zhang et al., arXiv 1710.09412): Beta(alpha, alpha), by formula."""

from __future__ import annotations

import functools

import numpy as np
from scipy.special import betaincinv

from fine2coarse.input.augment_ranges import MIXUP
from fine2coarse.input.random_bits import position_keys, uniform

_NUM_CELLS = 4096  # of the table of quantiles below one half, between which it is linear


def own_shares(seed: int, positions: np.ndarray, alpha: float) -> np.ndarray:
    """The share of its own labels that each image keeps, the same for both images of a pair.

    Args:
      seed: of the stream.
      positions: int64 [n]; those of 2i and 2i + 1 are a pair.
      alpha: of the Beta distribution, more than 0.

    Returns:
      float32 [n] in [0, 1].
    """
    pairs = np.asarray(positions, np.int64) // 2
    draws = uniform(position_keys(seed, pairs), (MIXUP,))[:, 0, 0]
    levels, quantiles = _lower_half(alpha)
    below = np.interp(np.minimum(draws, 1 - draws), levels, quantiles).astype(np.float32)
    return np.where(draws < 0.5, below, 1 - below)


@functools.lru_cache(maxsize=8)
def _lower_half(alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Levels from 0 to 1/2, and the distribution's quantiles there: it is symmetrical."""
    levels = np.linspace(0, 0.5, _NUM_CELLS + 1)
    return levels, betaincinv(alpha, alpha, levels)
