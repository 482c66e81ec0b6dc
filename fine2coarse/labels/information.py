"""Information that labellings share, in bits, measured on held-out images.

Counted on the images themselves, the information that many classes share is far too high (every
class is small), and the chance level is not the right correction where they do agree. So
conditional frequencies are counted on some images and cross-entropies measured on others, which
bounds the information from below (Barber and Agakov, NeurIPS 2003).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_NUM_FOLDS = 5
# Images in the shares of the whole set that are counted in with each class's own.
_PRIOR_MASSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0)


def held_out_information_bits(
    known: np.ndarray, wanted: np.ndarray, is_counted: np.ndarray
) -> float:
    """Information that one labelling has about another, on images that were not counted.

    The mean of log2 p(wanted | known) / p(wanted), the frequencies being counted on some images
    (with a prior of p(wanted), of the mass that serves best) and the mean taken on the others.

    Args:
      known: int [N] classes.
      wanted: int [N] classes.
      is_counted: bool [N], the images to count on.
    """
    counted, rest = np.flatnonzero(is_counted), np.flatnonzero(~is_counted)
    num_wanted = int(wanted.max()) + 1
    shares = np.bincount(wanted[counted], minlength=num_wanted) + 0.5
    prior = (shares / shares.sum())[wanted[rest]]
    joint = _counts_of(
        known[counted] * num_wanted + wanted[counted], known[rest] * num_wanted + wanted[rest]
    )
    alone = _counts_of(known[counted], known[rest])
    return max(
        float(np.mean(np.log2((joint + mass * prior) / (alone + mass) / prior)))
        for mass in _PRIOR_MASSES
    )


def ambiguity_bits(clusters: np.ndarray, targets: np.ndarray, seed: Sequence[int]) -> float:
    """Cross-entropy of the target class given the cluster, over folds of a labelled sample.

    The classes of a cluster are counted on four folds, together with some images in the shares
    of the whole sample (so that a cluster without labelled images predicts what one would
    without it), and measured on the fifth. How many images that are is what serves best.
    """
    return min(_cross_entropy_bits(clusters, targets, mass, seed) for mass in _PRIOR_MASSES)


def _cross_entropy_bits(
    clusters: np.ndarray, targets: np.ndarray, prior_mass: float, seed: Sequence[int]
) -> float:
    num_targets = int(targets.max()) + 1
    fold = np.random.default_rng([*seed, 3]).permutation(len(targets)) % _NUM_FOLDS
    bits = np.empty(len(targets))
    for held_out in range(_NUM_FOLDS):
        inside, outside = fold == held_out, fold != held_out
        prior = np.bincount(targets[outside], minlength=num_targets) + 1.0
        counts = np.tile(prior_mass * prior / prior.sum(), (int(clusters.max()) + 1, 1))
        np.add.at(counts, (clusters[outside], targets[outside]), 1.0)
        shares = counts / counts.sum(1, keepdims=True)
        bits[inside] = -np.log2(shares[clusters[inside], targets[inside]])
    return float(bits.mean())


def _counts_of(counted: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """How often each asked key was counted."""
    keys, counts = np.unique(counted, return_counts=True)
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, counts[place], 0)
