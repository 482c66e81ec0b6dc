"""The order of epochs in NumPy is that of TensorFlow's pipeline."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.input.batches import _shuffled
from fine2coarse.input.epoch_order import EpochOrder, shuffled


# 16,383 and 16,384 are found in two ways; of 65,537 TensorFlow shows one image twice.
@pytest.mark.parametrize(
    "num_images", [1, 2, 3, 7, 1000, 16_383, 16_384, 50_000, 65_536, 65_537, 300_000]
)
@pytest.mark.parametrize("seed", [0, 1, 2**31 - 5])
def test_the_order_is_that_of_tensorflow(num_images, seed):
    places = np.arange(num_images)[-60_000:]
    for epoch in (0, 5):
        epochs = tf.fill([len(places)], tf.constant(epoch, tf.int64))
        theirs = _shuffled(tf.constant(places), seed, epochs, tf.constant(num_images - 1, tf.int64))
        np.testing.assert_array_equal(shuffled(places, num_images, seed, epoch), theirs)


@pytest.mark.parametrize("num_images", [1, 5, 300_000])
def test_any_part_of_the_stream_is_found_alone(num_images):
    positions = np.arange(3 * num_images)[-1000:]
    whole = EpochOrder(num_images, 3).places(positions)
    assert whole.dtype == np.int64 and whole.max() < num_images
    for part in (slice(0, 7), slice(500, 1000)):
        ours = EpochOrder(num_images, 3).places(positions[part])
        np.testing.assert_array_equal(ours, whole[part])


def test_each_epoch_holds_each_image_once_in_another_order():
    first, second = EpochOrder(100, 0).places(np.arange(200)).reshape(2, 100)
    assert sorted(first) == sorted(second) == list(range(100))
    assert list(first) != list(second)
