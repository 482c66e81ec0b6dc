"""Images by group, against loops over the groups."""

from __future__ import annotations

import numpy as np
import pytest

from fine2coarse.labels.grouping import by_group, num_pairs, order_by, rows_where


@pytest.mark.parametrize("most", [3, 1 << 20])
def test_members_of_each_group_ascend(most):
    groups = np.random.default_rng(0).integers(-1, most, 500)
    found = list(by_group(groups))
    assert [group for group, _ in found] == np.unique(groups).tolist()
    for group, members in found:
        assert members.tolist() == np.flatnonzero(groups == group).tolist()
    assert order_by(groups).tolist() == np.concatenate([rows for _, rows in found]).tolist()


def test_no_images():
    assert list(by_group(np.zeros(0, np.int32))) == []
    assert rows_where(np.asarray([True, False, True])).tolist() == [0, 2]


def test_pairs_are_counted():
    # a1, a1, b1, -2, b-: four pairs of three labels with three.
    left, right = np.asarray([0, 0, 1, -1, 1]), np.asarray([1, 1, 1, 2, -1])
    assert num_pairs(left, right) == (4, 3, 3)
    assert num_pairs(left[:0], right[:0]) == (0, 0, 0)
