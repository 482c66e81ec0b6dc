"""Label spaces over subclasses, on two superclasses of four."""

import numpy as np
import pytest

from fine2coarse.theory.data import MultiViewData
from fine2coarse.theory.labelling import aligned, mixed, with_noise

_DATA = MultiViewData(num_subclasses=4, num_dimensions=20)


@pytest.mark.parametrize(
    ("groups", "classes"),
    [
        (1, [0, 0, 0, 0, 1, 1, 1, 1]),
        (2, [0, 0, 1, 1, 2, 2, 3, 3]),
        (4, [0, 1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_aligned(groups, classes):
    labelling = aligned(_DATA, groups)
    assert labelling.leaf_to_class.tolist() == classes
    assert labelling.num_classes == 2 * groups
    assert labelling.class_to_superclass.tolist() == [0] * groups + [1] * groups


def test_mixed_classes_hold_both_superclasses():
    labelling = mixed(_DATA, 2)
    assert labelling.leaf_to_class.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert labelling.class_to_superclass is None


def test_groups_out_of_range():
    for make in (aligned, mixed):
        for groups in (0, 5):
            with pytest.raises(ValueError, match=rf"num_groups is {groups}: .* 4 \(fine\)"):
                make(_DATA, groups)


def test_noise_stays_within_the_superclass():
    leaves = np.tile(np.arange(8), 1000)[None]
    noisy = with_noise(leaves, _DATA, [np.random.default_rng(0)], 1.0)
    assert (noisy // 4 == leaves // 4).all()
    # Redrawn uniformly: a quarter happens to stay.
    assert (noisy == leaves).mean() == pytest.approx(0.25, abs=0.02)
    half = with_noise(leaves, _DATA, [np.random.default_rng(0)], 0.5)
    assert (half == leaves).mean() == pytest.approx(0.5 + 0.5 * 0.25, abs=0.02)
    none = with_noise(leaves, _DATA, [np.random.default_rng(0)], 0.0)
    np.testing.assert_array_equal(none, leaves)
    with pytest.raises(ValueError, match=r"label noise is 1\.5"):
        with_noise(leaves, _DATA, [np.random.default_rng(0)], 1.5)
