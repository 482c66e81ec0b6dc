"""Readouts, alignments, growth, probe and statistics, on numbers small enough to check by hand."""

import math

import numpy as np
import pytest

from fine2coarse.theory.data import MultiViewData, Samples, draw_samples
from fine2coarse.theory.measurements import (
    alignment_ratio,
    growth_ratio,
    head_errors,
    paired_p_value,
    probe_errors,
    read_out,
    spread,
    superclass_errors,
)
from fine2coarse.theory.network import Network, hidden_features

_DATA = MultiViewData(num_subclasses=2, num_dimensions=6)  # axes: v_0 v_1 | v_00 v_01 v_10 v_11


def test_readouts_by_hand():
    scores = np.array([[[3.0, 0.0, 2.0, 2.0]]])
    table = [0, 0, 1, 1]
    np.testing.assert_allclose(read_out(scores, table, 2, "max"), [[[3, 2]]])
    np.testing.assert_allclose(read_out(scores, table, 2, "sum"), [[[3, 4]]])
    expected = [[[math.log(math.exp(3) + 1), 2 + math.log(2)]]]
    np.testing.assert_allclose(read_out(scores, table, 2, "logsumexp"), expected)
    with pytest.raises(ValueError, match="readout is 'mean': expected one of max, logsumexp, sum"):
        read_out(scores, table, 2, "mean")


def test_readout_with_a_table_for_each_seed():
    scores = np.array([[[3.0, 1.0, 2.0]], [[3.0, 1.0, 2.0]]])
    tables = np.array([[0, 0, 1], [1, 0, 0]])
    np.testing.assert_allclose(read_out(scores, tables, 2, "sum"), [[[4, 2]], [[3, 3]]])
    np.testing.assert_allclose(read_out(scores, tables, 2, "max"), [[[3, 2]], [[2, 3]]])


def _along(axes, scale=1.0):
    """A network of one neuron an output, each along an axis, without bias."""
    weights = np.zeros((1, len(axes), 1, 6))
    weights[0, np.arange(len(axes)), 0, axes] = scale
    return Network(weights, np.zeros((1, len(axes), 1)))


def test_superclass_errors_by_hand():
    # Output o looks for fine feature o; two images, the second labelled with the other superclass.
    patches = np.zeros((1, 2, 1, 6))
    patches[0, 0, 0, 2] = patches[0, 1, 0, 5] = 1
    samples = Samples(patches, np.array([[0, 0]]))
    errors = superclass_errors(_along([2, 3, 4, 5]), samples, _DATA, [0, 0, 1, 1])
    assert errors["max"].tolist() == errors["sum"].tolist() == [0.5]


def test_head_errors_compare_summed_probabilities():
    # Class 2 has the largest score, but classes 0 and 1 the larger sum: e² + e² > e^2.5.
    hidden, head = np.array([[[2.0, 2.0, 2.5]]]), np.eye(3)[None]
    truth = np.array([[0]])
    assert head_errors(hidden, head, [0, 0, 1], truth, 2).tolist() == [0]
    assert head_errors(hidden, head, [0, 1, 1], truth, 2).tolist() == [1]


def test_alignment_ratio_by_hand():
    # Coarse network, two neurons an output: one along v_y, one along the y's first fine feature.
    weights = np.zeros((1, 2, 2, 6))
    weights[0, 0, 0, 0], weights[0, 0, 1, 2] = 4.0, 1.0
    weights[0, 1, 0, 1], weights[0, 1, 1, 4] = 4.0, 3.0
    network = Network(weights, np.zeros((1, 2, 2)))
    # Largest alignments: fine 1, 0, 3, 0 and common 4, 4, 4, 4.
    assert alignment_ratio(network, _DATA, [0, 0, 1, 1]) == pytest.approx(0.25)


def test_growth_counts_neurons_active_at_the_start():
    before = Network(np.zeros((1, 2, 2, 6)), np.full((1, 2, 2), -0.5))
    before.weights[:, :, 0, :] = 1.0  # the first neuron is active along every axis
    after = before.copy()
    after.weights[:, :, 0, :2] += 4.0
    after.weights[:, :, 0, 2:] += 1.0
    after.weights[:, :, 1, :] += 100.0  # asleep at the start: does not count
    assert growth_ratio(before, after, _DATA) == pytest.approx(0.25)


def test_growth_needs_a_coarse_network_with_active_neurons():
    fine = Network(np.ones((1, 4, 2, 6)), np.zeros((1, 4, 2)))
    with pytest.raises(ValueError, match="has 4 outputs: expected 2"):
        growth_ratio(fine, fine, _DATA)
    asleep = Network(np.ones((1, 2, 2, 6)), np.full((1, 2, 2), -2.0))
    with pytest.raises(ValueError, match="activates no neuron"):
        growth_ratio(asleep, asleep, _DATA)


def test_probe_reads_superclasses_from_fine_features():
    data = MultiViewData(num_subclasses=2, num_dimensions=40)
    train = draw_samples(data, [np.random.default_rng(0)], 300)
    tests = {"hard": draw_samples(data, [np.random.default_rng(1)], 300, 1.0)}
    weights = np.zeros((1, 4, 1, 40))
    weights[0, np.arange(4), 0, 2 + np.arange(4)] = 1.0
    knows = Network(weights, np.full((1, 4, 1), -0.3))
    assert hidden_features(knows, train.patches).shape == (1, 300, 4)
    assert probe_errors(knows, train, tests, data, [0.01])["hard", 0.01] < 0.1
    weights = np.roll(weights, 20, -1)  # along axes that carry noise only
    ignorant = Network(weights, np.full((1, 4, 1), -0.3))
    assert probe_errors(ignorant, train, tests, data, [0.01])["hard", 0.01] > 0.3


def test_probe_is_ridge_regression():
    data = MultiViewData(num_subclasses=2, num_dimensions=40)
    train = draw_samples(data, [np.random.default_rng(0)], 200)
    test = draw_samples(data, [np.random.default_rng(1)], 200, 1.0)
    rng = np.random.default_rng(2)
    network = Network(rng.standard_normal((1, 2, 3, 40)), np.full((1, 2, 3), -0.1))
    hidden = hidden_features(network, train.patches)[0]
    centred = hidden - hidden.mean(0)
    target = np.eye(2)[train.leaves[0] // 2]
    gram = centred.T @ centred
    gram += 0.1 * np.trace(gram) / 6 * np.eye(6)
    fitted = np.linalg.solve(gram, centred.T @ (target - target.mean(0)))
    scores = (hidden_features(network, test.patches)[0] - hidden.mean(0)) @ fitted
    expected = ((scores + target.mean(0)).argmax(-1) != test.leaves[0] // 2).mean()
    found = probe_errors(network, train, {"hard": test}, data, [0.1])["hard", 0.1]
    assert found == pytest.approx(expected)
    assert 0.05 < expected < 0.95


def test_spread_by_hand():
    # 1, 2, 3: standard error 1/√3, Student's t of two degrees of freedom is 4.3027.
    found = spread([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.high - found.mean == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)
    assert (found.smallest, found.largest, found.num_seeds) == (1, 3, 3)
    assert spread([5.0]).low == 5
    for values in ([], [1.0, math.nan]):
        with pytest.raises(ValueError, match="one finite number for each seed"):
            spread(values)


def test_paired_p_value():
    assert paired_p_value([1, 1, 1], [1, 1, 1]) == 1.0
    # All of five pairs on one side: two of the 2⁵ sign patterns are as extreme.
    assert paired_p_value([5, 6, 7, 8, 9], [0, 0, 0, 0, 0]) == pytest.approx(2 / 32)
