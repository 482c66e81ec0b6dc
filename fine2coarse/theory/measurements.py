"""What is measured on a trained network: superclass error, alignment, growth, and their spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from fine2coarse.theory.data import MultiViewData, Samples
from fine2coarse.theory.network import Network, hidden_features, log_sum_exp, logits

READOUTS = ("max", "logsumexp", "sum")
# Images scored at once: bounds the memory of the hidden layer, has no effect on the result.
_CHUNK = 250


def class_scores(network: Network, patches: np.ndarray) -> np.ndarray:
    """F(X) [S, n, O] of any number of images, a chunk at a time."""
    return _in_chunks(logits, network, patches)


def read_out(scores, class_to_superclass, num_superclasses: int, readout: str) -> np.ndarray:
    """Superclass scores [S, n, K] from class scores [S, n, O].

    class_to_superclass: int [O], or [S, O] where each seed has a labelling of its own.
    readout: "max", "logsumexp" or "sum" over the classes of a superclass.

    Raises:
      ValueError: another readout.
    """
    if readout not in READOUTS:
        raise ValueError(f"readout is {readout!r}: expected one of {', '.join(READOUTS)}")
    table = np.atleast_2d(class_to_superclass)[:, None, :]  # [S or 1, 1, O]
    columns = []
    for superclass in range(num_superclasses):
        member = table == superclass
        if readout == "sum":
            columns.append(np.where(member, scores, 0).sum(-1))
            continue
        own = np.where(member, scores, -np.inf)
        columns.append(own.max(-1) if readout == "max" else log_sum_exp(own)[..., 0])
    return np.stack(columns, -1)


def superclass_errors(
    network: Network, samples: Samples, data: MultiViewData, class_to_superclass
) -> dict[str, np.ndarray]:
    """The share [S] of images whose superclass is not the one with the largest score, by readout.

    One output for each superclass needs no readout; then all three agree.
    """
    scores = class_scores(network, samples.patches)
    truth = data.superclass_of(samples.leaves)
    return {
        readout: _error(
            read_out(scores, class_to_superclass, data.num_superclasses, readout), truth
        )
        for readout in READOUTS
    }


def all_hidden_features(network: Network, patches: np.ndarray) -> np.ndarray:
    """The hidden layer [S, n, O·m] of any number of images, a chunk at a time."""
    return _in_chunks(hidden_features, network, patches)


def head_errors(hidden, head, class_to_superclass, superclasses, num_superclasses) -> np.ndarray:
    """The share [S] of images whose superclass has not the largest summed probability.

    hidden [S, n, O·m] as `all_hidden_features` gives it; head [S, C, O·m]; superclasses int [S, n].
    """
    scores = hidden @ head.swapaxes(1, 2)
    summed = read_out(scores, class_to_superclass, num_superclasses, "logsumexp")
    return _error(summed, superclasses)


def alignment(network: Network, data: MultiViewData, leaf_to_class) -> dict[str, np.ndarray]:
    """For each subclass (y,c), the largest alignments max_r ⟨w_{o,r}, v⟩, arrays [S, K·k].

    "fine" along v_{y,c} and "common" along v_y, both in the output o that is trained to answer
    for the subclass.
    """
    largest = network.weights.max(2)  # [S, O, d]
    leaves = np.arange(data.num_leaves)
    outputs = np.asarray(leaf_to_class)
    return {
        "fine": largest[:, outputs, data.fine_axis(leaves)],
        "common": largest[:, outputs, data.common_axis(data.superclass_of(leaves))],
    }


def mean_alignment(network: Network, data: MultiViewData, leaf_to_class) -> dict[str, np.ndarray]:
    """The largest alignments, "fine" and "common", each averaged over subclasses: [S]."""
    largest = alignment(network, data, leaf_to_class)
    return {name: _mean_of_last(values) for name, values in largest.items()}


def alignment_ratio(network: Network, data: MultiViewData, leaf_to_class) -> np.ndarray:
    """Largest fine alignment over largest common alignment, each averaged over subclasses: [S]."""
    mean = mean_alignment(network, data, leaf_to_class)
    return mean["fine"] / mean["common"]


def growth_ratio(before: Network, after: Network, data: MultiViewData) -> np.ndarray:
    """Mean growth along v_{y,c} over mean growth along v_y in a coarse network: [S].

    Growth is ⟨w_T - w_0, v⟩, averaged over the neurons of output y that a noiseless patch of unit
    gain v activates at the start, ⟨w_0, v⟩ + b_0 > 0; then over features. The theory says 1/k.

    Raises:
      ValueError: the network has not one output for each superclass, or a feature activates no
        neuron at the start (more neurons are needed).
    """
    if before.weights.shape[1] != data.num_superclasses:
        raise ValueError(
            f"the network has {before.weights.shape[1]} outputs: expected "
            f"{data.num_superclasses}, one for each superclass (coarse labels)"
        )
    leaves, classes = np.arange(data.num_leaves), np.arange(data.num_superclasses)
    fine = _mean_growth(before, after, data.superclass_of(leaves), data.fine_axis(leaves))
    common = _mean_growth(before, after, classes, data.common_axis(classes))
    return _mean_of_last(fine) / _mean_of_last(common)


def _mean_of_last(values):
    # Contiguous, so that a seed's sum has the same order for any number of seeds.
    return np.ascontiguousarray(values, np.float64).mean(-1)


def _mean_growth(before, after, outputs, axes):
    start = before.weights[:, outputs, :, axes]  # [features, S, m]: numpy puts the indices first
    active = start + np.moveaxis(before.biases[:, outputs], 1, 0) > 0
    if not active.any(-1).all():
        raise ValueError("a feature activates no neuron at the start: raise the neurons per class")
    growth = after.weights[:, outputs, :, axes] - start
    return np.moveaxis(np.where(active, growth, 0).sum(-1) / active.sum(-1), 0, -1)


def probe_errors(
    network: Network, train: Samples, tests: dict[str, Samples], data: MultiViewData, ridges
) -> dict[tuple[str, float], np.ndarray]:
    """Errors [S] of linear probes on the hidden layer, by name of the test set and ridge.

    A probe is a ridge regression of the superclass (one-hot) on the hidden features
    Σ_p ReLU(⟨w_{o,r}, x_p⟩ + b_{o,r}), fitted to `train` with superclass labels. Its penalty is
    `ridge` times the mean energy of a feature.
    """
    hidden = all_hidden_features(network, train.patches).astype(np.float64)
    mean = hidden.mean(1, keepdims=True)
    target = np.eye(data.num_superclasses)[data.superclass_of(train.leaves)]
    offset = target.mean(1, keepdims=True)
    # Eigenvectors solve for every ridge at once.
    centred = hidden - mean
    energies, axes = np.linalg.eigh(centred.swapaxes(1, 2) @ centred)
    energies = np.maximum(energies, 0)  # rounding may leave them below
    along = axes.swapaxes(1, 2) @ (centred.swapaxes(1, 2) @ (target - offset))
    errors = {}
    for name, samples in tests.items():
        seen = (all_hidden_features(network, samples.patches) - mean) @ axes
        for ridge in ridges:
            # The floor keeps the system solvable where no neuron ever fires.
            penalty = ridge * energies.mean(-1)[:, None, None] + 1e-12
            scores = seen @ (along / (energies[..., None] + penalty)) + offset
            errors[name, ridge] = _error(scores, data.superclass_of(samples.leaves))
    return errors


@dataclass(frozen=True)
class Spread:
    """Mean over seeds with its 95% interval, and the extremes."""

    mean: float
    low: float
    high: float
    smallest: float
    largest: float
    num_seeds: int


def spread(values) -> Spread:
    """Summarises one number per seed; the interval is Student's t for the mean.

    Raises:
      ValueError: no values, or values that are not finite.
    """
    values = np.asarray(values, np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"expected one finite number for each seed, got {values.tolist()}")
    mean, half_width = values.mean(), 0.0
    if values.size > 1:
        quantile = stats.t.ppf(0.975, values.size - 1)
        half_width = quantile * values.std(ddof=1) / np.sqrt(values.size)
    return Spread(
        float(mean),
        float(mean - half_width),
        float(mean + half_width),
        float(values.min()),
        float(values.max()),
        int(values.size),
    )


def paired_p_value(first, second) -> float:
    """Two-sided Wilcoxon signed-rank p of lists paired by seed; 1.0 where all pairs are equal."""
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return float(stats.wilcoxon(difference).pvalue) if difference.any() else 1.0


def _error(scores, truth):
    return (scores.argmax(-1) != truth).mean(-1)


def _in_chunks(function, network, patches):
    starts = range(0, patches.shape[1], _CHUNK)
    return np.concatenate([function(network, patches[:, s : s + _CHUNK]) for s in starts], 1)
