"""RandAugment: reproducible from its seed, and each operation on an image one can check."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.input import rand_augment as ra
from fine2coarse.input.augment_ranges import MAX_SHIFT

IMAGE = tf.constant(np.random.default_rng(0).random((16, 16, 3)), tf.float32)


def test_the_same_seed_gives_the_same_image():
    seeds = [tf.constant([1, place], tf.int64) for place in range(4)]
    first, second = ([ra.rand_augment(IMAGE, s, 2, 10.0) for s in seeds] for _ in range(2))
    for ours, theirs in zip(first, second):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.shape == IMAGE.shape and np.min(ours) >= 0 and np.max(ours) <= 1
    assert any(not np.array_equal(first[0], other) for other in first[1:])


@pytest.mark.parametrize("operation", ra.OPERATIONS, ids=lambda op: op.__name__)
def test_no_strength_changes_next_to_nothing(operation):
    if operation in (ra._auto_contrast, ra._equalize):
        pytest.skip("has no strength")
    np.testing.assert_allclose(operation(IMAGE, tf.constant(0.0)), IMAGE, atol=1 / 128)


def test_shift_moves_by_a_share_of_the_side():
    moved = ra._shift_x(IMAGE, tf.constant(0.25 / MAX_SHIFT))  # 4 of 16 pixels
    np.testing.assert_allclose(moved[:, :12], IMAGE[:, 4:], atol=1e-5)
    np.testing.assert_allclose(moved[:, 12:], 0.5)


def test_solarize_and_brightness_by_hand():
    row = tf.constant([[[0.2] * 3, [0.6] * 3]])
    np.testing.assert_allclose(ra._solarize(row, tf.constant(0.5))[0, :, 0], [0.2, 0.4])
    np.testing.assert_allclose(ra._brightness(row, tf.constant(-1.0))[0, :, 0], [0.02, 0.06], 1e-5)


def test_equalize_spreads_four_values_over_the_range():
    row = tf.constant([[[0.5] * 3, [0.51] * 3, [0.52] * 3, [0.53] * 3]])
    np.testing.assert_allclose(ra._equalize(row, tf.constant(1.0))[0, :, 0], [0, 1 / 3, 2 / 3, 1])


def test_posterize_keeps_four_bits_at_full_strength():
    kept = np.unique(ra._posterize(IMAGE, tf.constant(1.0)))
    assert len(kept) <= 16
