"""Information that labellings share, in bits, estimated on held-out images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_NUM_PERMUTATIONS = 5
_NUM_FOLDS = 5
_PRIOR_MASSES = (1.0, 4.0, 16.0, 64.0)


def information_beyond_chance(left: np.ndarray, right: np.ndarray, seed: Sequence[int]) -> float:
    """Mutual information, less its mean over shuffles of one side."""
    generator = np.random.default_rng([*seed, 2])
    by_chance = [
        mutual_information_bits(left, generator.permutation(right))
        for _ in range(_NUM_PERMUTATIONS)
    ]
    return mutual_information_bits(left, right) - float(np.mean(by_chance))


def mutual_information_bits(left: np.ndarray, right: np.ndarray) -> float:
    """Mutual information of two labellings of the same images (plug-in estimate)."""
    _, left = np.unique(left, return_inverse=True)
    _, right = np.unique(right, return_inverse=True)
    joint = left * (right.max() + 1) + right
    return (
        entropy_bits(np.bincount(left))
        + entropy_bits(np.bincount(right))
        - entropy_bits(np.unique(joint, return_counts=True)[1])
    )


def entropy_bits(counts: np.ndarray) -> float:
    """Shannon entropy of classes of these sizes."""
    shares = counts[counts > 0] / counts.sum()
    return float(-np.sum(shares * np.log2(shares)))


def ambiguity_bits(clusters: np.ndarray, targets: np.ndarray, seed: Sequence[int]) -> float:
    """Cross-entropy of the target class given the cluster, over folds of a labelled sample.

    The classes of a cluster are counted on four folds, together with some images in the shares
    of the whole sample (so that a cluster without labelled images predicts what one would
    without it), and measured on the fifth. How many images that are is what serves best.
    """
    return min(_held_out_bits(clusters, targets, mass, seed) for mass in _PRIOR_MASSES)


def _held_out_bits(
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
