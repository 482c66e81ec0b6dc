"""Crops decoded at a JPEG's own scales look like crops of the whole picture."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.input.augmentation import _resize_little, train_image
from fine2coarse.recipes.phase_spec import AugmentSpec


def photograph(height: int, width: int) -> np.ndarray:
    """A smooth picture: uint8 [height, width, 3]."""
    coarse = np.random.default_rng(0).uniform(0, 255, (3, 4, 3)).astype(np.float32)
    pixels = tf.image.resize(coarse, [height, width], method="bicubic")
    return tf.cast(tf.clip_by_value(pixels, 0, 255), tf.uint8).numpy()


@pytest.mark.parametrize("size_px", [16, 32, 64, 224])
def test_jpeg_and_pixels_give_the_same_crop(size_px):
    pixels = photograph(300, 400)
    jpeg = tf.io.encode_jpeg(pixels, quality=100, chroma_downsampling=False)
    for number in range(5):
        seed = tf.constant([number, 3], tf.int64)
        augment = AugmentSpec(crop="inception", flip=True)
        one = train_image(jpeg, seed, size_px, augment).numpy()
        other = train_image(tf.constant(pixels), seed, size_px, augment).numpy()
        assert one.shape == (size_px, size_px, 3)
        assert (
            np.abs(one - other).mean() < 0.05
        )  # a pixel of the result aside at most; other crops: 0.2


def test_shrinking_by_less_than_two_misses_no_pixel():
    pixels = tf.Variable(tf.ones([37, 37, 3]))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(_resize_little(pixels, 20))
    assert np.all(tape.gradient(total, pixels).numpy() > 0)


def test_growing_needs_no_filter():
    pixels = tf.constant(photograph(20, 30))
    filtered = tf.image.resize(pixels, [64, 64], antialias=True) / 255.0
    assert np.abs(_resize_little(pixels, 64) - filtered).max() < 1e-5
