"""Mixup's shares: of their distribution, the same for both images of a pair."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fine2coarse.input.mixup_shares import own_shares


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 3.0])
def test_shares_are_those_of_the_beta_distribution(alpha):
    shares = own_shares(0, np.arange(0, 40_000, 2), alpha)
    assert shares.dtype == np.float32 and shares.min() >= 0 and shares.max() <= 1
    if alpha > 0.1:  # there, one share in 18 is so near to 1 that float32 has nothing between
        assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01
    assert abs(shares.mean() - 0.5) < 0.01
    assert abs(shares.var() - 1 / (4 * (2 * alpha + 1))) < 0.01


def test_a_pair_shares_and_others_do_not():
    shares = own_shares(0, np.arange(2**33, 2**33 + 100), 0.5).reshape(50, 2)
    np.testing.assert_array_equal(shares[:, 0], shares[:, 1])
    assert len(np.unique(shares)) == 50
    np.testing.assert_array_equal(own_shares(0, np.array([2**33 + 7]), 0.5), shares[3, :1])
