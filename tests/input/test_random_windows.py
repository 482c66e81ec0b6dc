"""Random windows are distributed as TensorFlow draws them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from fine2coarse.input.augment_ranges import WINDOW_PURPOSES
from fine2coarse.input.augmentation import _random_window
from fine2coarse.input.random_bits import position_keys, uniform
from fine2coarse.input.random_windows import random_windows

NUM = 800


def windows(height: int, width: int, min_area: float) -> np.ndarray:
    """Top, left, height and width: [4, NUM]."""
    draws = uniform(position_keys(3, np.arange(NUM)), WINDOW_PURPOSES)
    return np.stack(random_windows(height, width, draws, min_area))


def windows_of_tensorflow(height: int, width: int, min_area: float) -> np.ndarray:
    def one(number: tf.Tensor) -> tf.Tensor:
        begin, extent = _random_window(
            tf.constant([height, width, 3]), tf.stack([number, 1]), min_area
        )
        return tf.concat([begin[:2], extent[:2]], 0)

    found = tf.map_fn(one, tf.range(NUM), fn_output_signature=tf.int32)
    return found.numpy().T


@pytest.mark.parametrize(
    ("height", "width", "min_area"),
    [(300, 500, 0.08), (64, 48, 0.25), (100, 100, 0.9)],
)
def test_windows_are_distributed_as_tensorflow_draws_them(height, width, min_area):
    ours, theirs = (made(height, width, min_area) for made in (windows, windows_of_tensorflow))
    for mine, other in zip(ours, theirs, strict=True):
        assert stats.ks_2samp(mine, other).pvalue > 0.001
    for value in (lambda w: w[2] * w[3], lambda w: w[3] / w[2]):  # area, ratio
        assert stats.ks_2samp(value(ours), value(theirs)).pvalue > 0.001


def test_windows_lie_within_the_image_and_the_ranges():
    top, left, tall, wide = windows(300, 500, 0.08)
    assert top.min() >= 0 and left.min() >= 0
    assert (top + tall).max() <= 300 and (left + wide).max() <= 500
    assert (tall * wide).min() >= 0.08 * 300 * 500
    assert np.all(np.round(tall * 0.75) <= wide) and np.all(wide <= np.round(tall * 4 / 3))


def test_where_no_window_fits_the_image_is_shown_whole():
    assert windows(40, 400, 0.9).T.tolist() == [[0, 0, 40, 400]] * NUM


def test_images_of_several_sizes_at_once():
    draws = uniform(position_keys(0, np.arange(2)), WINDOW_PURPOSES)
    both = random_windows(np.array([50, 300]), np.array([80, 90]), draws, 0.08)
    second = random_windows(300, 90, draws[1:], 0.08)
    assert [value[1] for value in both] == [value[0] for value in second]
