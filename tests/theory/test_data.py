"""The data model: what an image is made of, and what is refused."""

import math

import numpy as np
import pytest

from fine2coarse.theory.data import MultiViewData, draw_samples

_SMALL = MultiViewData(num_superclasses=3, num_subclasses=2, num_dimensions=20)


def _rngs(*seeds):
    return [np.random.default_rng(seed) for seed in seeds]


def test_defaults_are_those_of_the_statement():
    data = MultiViewData()
    assert (data.num_leaves, data.num_features) == (16, 18)
    assert data.noise_std == pytest.approx(1 / (10 * math.log(100)))
    assert data.noise_std == pytest.approx(0.0217147, abs=1e-7)


def test_an_easy_image_shows_its_fine_and_its_common_feature():
    samples = draw_samples(_SMALL, _rngs(0), 4000)
    leaves, patches = samples.leaves[0], samples.patches[0].astype(np.float64)
    rows = np.arange(len(leaves))
    # Leaf y·2 + c lies on axis 3 + leaf, superclass y = leaf // 2 on axis y.
    fine = patches[rows, :4, 3 + leaves]
    common = patches[rows[:, None], np.arange(4, 8), (leaves // 2)[:, None]]
    for shown in (fine, common):
        assert shown.mean() == pytest.approx(1.0, abs=0.01)
        # Gain U[0.9, 1.1] has variance 0.2²/12; the noise adds its own.
        assert shown.var() == pytest.approx(0.2**2 / 12 + _SMALL.noise_std**2, rel=0.1)
    patches[rows, :4, 3 + leaves] -= 1
    patches[rows[:, None], np.arange(4, 8), (leaves // 2)[:, None]] -= 1
    # Nothing else is there: other axes and other patches are noise about zero.
    assert np.abs(patches.mean(0)).max() < 0.01
    assert patches[:, 8:].std() == pytest.approx(_SMALL.noise_std, rel=0.01)


def test_a_hard_image_lacks_the_common_feature_and_shows_a_little_of_a_wrong_one():
    samples = draw_samples(_SMALL, _rngs(0), 4000, hard_share=1.0)
    leaves, patches = samples.leaves[0], samples.patches[0]
    rows, own = np.arange(len(leaves)), leaves // 2
    assert patches[rows, :4, 3 + leaves].mean() == pytest.approx(1.0, abs=0.01)
    assert patches[rows[:, None], np.arange(4, 8), own[:, None]].mean() == pytest.approx(
        0, abs=0.01
    )
    along_superclasses = patches[:, 4:8, :3].mean(1)  # [n, K]
    assert np.sort(along_superclasses, -1)[:, -1].mean() == pytest.approx(0.4, abs=0.02)
    shown = along_superclasses.argmax(-1)
    assert (shown != own).mean() > 0.99  # noise may hide a few of them
    # Both wrong superclasses turn up equally often.
    assert ((shown - own) % 3 == 1).mean() == pytest.approx(0.5, abs=0.03)
    assert patches[:, 8:11].std() == pytest.approx(_SMALL.noise_std, rel=0.02)
    assert patches[:, 11].std() == pytest.approx(0.5, rel=0.02)


def test_fewer_wrong_patches_than_feature_patches():
    data = MultiViewData(num_wrong_patches=1, num_subclasses=2, num_dimensions=20)
    hard = draw_samples(data, _rngs(0), 500, hard_share=1.0).patches[0]
    strongest = hard[:, 4:8, :2].max(-1).mean(0)
    assert strongest[0] == pytest.approx(0.4, abs=0.05)
    assert (strongest[1:] < 0.15).all()


def test_hard_share_is_a_share():
    patches = draw_samples(_SMALL, _rngs(0), 4000, hard_share=0.25).patches[0]
    is_outlier = patches[:, 11].std(-1) > 0.25
    assert is_outlier.mean() == pytest.approx(0.25, abs=0.03)


def test_a_seed_is_drawn_alike_alone_and_beside_others():
    together = draw_samples(_SMALL, _rngs(3, 5, 7), 10, 0.5)
    alone = draw_samples(_SMALL, _rngs(5), 10, 0.5)
    np.testing.assert_array_equal(together.patches[1], alone.patches[0])
    np.testing.assert_array_equal(together.leaves[1], alone.leaves[0])
    assert not np.array_equal(together.leaves[0], together.leaves[2])


def test_features_that_do_not_fit_say_what_to_change():
    MultiViewData(num_superclasses=2, num_subclasses=8, num_dimensions=18)
    with pytest.raises(ValueError, match=r"K\(k\+1\) = 2·\(8\+1\) = 18 .* d = 17 .* at least 18"):
        MultiViewData(num_superclasses=2, num_subclasses=8, num_dimensions=17)


def test_patches_that_do_not_fit_say_what_to_change():
    MultiViewData(num_patches=9)
    with pytest.raises(ValueError, match=r"2·s\* = 8 .* s† \+ 1 = 9, but num_patches is 8.* 9"):
        MultiViewData(num_patches=8)
    with pytest.raises(ValueError, match=r"2·s\* = 14 .* at least 14"):
        MultiViewData(num_feature_patches=7)


@pytest.mark.parametrize(
    "name", ["num_subclasses", "num_dimensions", "num_patches", "num_feature_patches"]
)
@pytest.mark.parametrize("value", [0, -3, 2.5])
def test_sizes_must_be_positive_whole_numbers(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}: expected a whole number"):
        MultiViewData(**{name: value})


def test_one_superclass_has_no_wrong_one():
    with pytest.raises(ValueError, match="num_superclasses is 1: expected a whole number, 2 or"):
        MultiViewData(num_superclasses=1)


@pytest.mark.parametrize(
    "change",
    [{"wrong_strength": -0.1}, {"outlier_noise_std": -1.0}, {"gain_range": (1.1, 0.9)}],
)
def test_strengths_must_not_be_negative(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        MultiViewData(**change)


def test_draws_refuse_bad_counts_and_shares():
    with pytest.raises(ValueError, match="num_samples is 0"):
        draw_samples(_SMALL, _rngs(0), 0)
    with pytest.raises(ValueError, match=r"hard_share is 1\.5"):
        draw_samples(_SMALL, _rngs(0), 1, hard_share=1.5)
