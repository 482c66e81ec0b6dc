"""Augmentation inside the step: exact where nothing is resized, else as the pipeline's."""

from __future__ import annotations

import numpy as np
import pytest

from fine2coarse.errors import UsageError
from fine2coarse.input.augment_ranges import OPERATIONS, SHIFT, WINDOW_PURPOSES
from fine2coarse.input.random_bits import position_keys, uniform
from fine2coarse.input.random_windows import random_windows
from fine2coarse.input.step_augmentation import augmented, central
from fine2coarse.input.step_rand_augment import OPERATION_NAMES, apply_operations
from fine2coarse.recipes.phase_spec import AugmentSpec
from tests.input.compiled import compiled

pytestmark = pytest.mark.both_backends

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 40, 48, 3), np.uint8)
SQUARES = PIXELS[:, :32, :32]
KEYS = position_keys(7, np.arange(6))
SHIFTED = AugmentSpec(crop="shift", flip=False, shift_px=4)


def changed(pixels, keys, size_px, augment) -> np.ndarray:
    return compiled(lambda *arrays: augmented(*arrays, size_px, augment))(pixels, keys)


def test_a_shift_keeps_each_pixel_and_mirrors_what_lies_beyond():
    found = changed(SQUARES, KEYS, 32, SHIFTED)
    draws = uniform(KEYS, (SHIFT,))[:, 0]
    for image, shown, (down, right) in zip(SQUARES, found, np.floor(draws * 9).astype(int)):
        padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), "reflect")
        expected = padded[down : down + 32, right : right + 32]
        np.testing.assert_allclose(shown, expected / 255, atol=1e-7)


def test_shifts_are_uniform_and_half_are_mirrored():
    ramp = np.zeros((3000, 9, 9, 3), np.uint8) + np.arange(9, dtype=np.uint8)[:, None]
    keys = position_keys(0, np.arange(3000))
    found = np.round(
        changed(ramp, keys, 9, AugmentSpec(crop="shift", shift_px=3))[:, 0, :, 0] * 255
    )
    counts = np.bincount((found[:, 4]).astype(int))  # the column in the middle shows 4 ± 3
    assert len(counts) == 8 and counts[0] == 0
    assert np.abs(counts[1:] - 3000 / 7).max() < 100
    is_mirrored = found[:, 4] > found[:, 5]
    assert abs(is_mirrored.mean() - 0.5) < 0.04


def test_a_shift_as_large_as_the_image_is_refused():
    with pytest.raises(UsageError, match="shift_px is 40, the images are 32 px"):
        changed(SQUARES, KEYS, 32, AugmentSpec(crop="shift", shift_px=40))


def test_what_changes_nothing_changes_nothing():
    unchanged = changed(SQUARES, KEYS, 32, AugmentSpec(crop="none", flip=False))
    for found in (unchanged, compiled(lambda pixels: central(pixels, 32))(SQUARES)):
        np.testing.assert_allclose(found, SQUARES / 255, atol=1e-7)


@pytest.mark.parametrize("size_px", [15, 40, 64])
def test_the_central_square_is_that_of_the_pipeline(size_px):
    tf = pytest.importorskip("tensorflow")
    from fine2coarse.input.augmentation import eval_image

    found = compiled(lambda pixels: central(pixels, size_px))(PIXELS)
    for image, shown in zip(PIXELS, found):
        np.testing.assert_allclose(shown, eval_image(tf.constant(image), size_px), atol=1e-5)


@pytest.mark.parametrize("size_px", [8, 20, 64])  # filtered, some and none
def test_a_window_is_resized_as_in_the_pipeline(size_px):
    tf = pytest.importorskip("tensorflow")
    from fine2coarse.input.augmentation import _resize, _resize_little

    found = changed(PIXELS, KEYS, size_px, AugmentSpec(flip=False))
    windows = random_windows(40, 48, uniform(KEYS, WINDOW_PURPOSES), 0.08)
    for image, shown, window in zip(PIXELS, found, np.stack(windows, -1).astype(int)):
        top, left, tall, wide = window
        cropped = tf.constant(image[top : top + tall, left : left + wide])
        resize = _resize_little if min(tall, wide) < 2 * size_px else _resize
        np.testing.assert_allclose(shown, resize(cropped, size_px), atol=1e-4)


def test_an_image_is_the_same_in_any_batch():
    augment = AugmentSpec(rand_augment_ops=2)
    whole = changed(PIXELS, KEYS, 24, augment)
    assert whole.min() >= 0 and whole.max() <= 1
    for part in (slice(0, 3), slice(3, 6)):
        ours = changed(PIXELS[part], KEYS[part], 24, augment)
        # Products of matrices may be summed in another order; a value near the edge of a bin may
        # then fall into the next.
        assert np.quantile(np.abs(ours - whole[part]), 0.95) < 1e-5


@pytest.mark.parametrize("strength", [1.0, -1.0, 0.35])
def test_each_operation_is_that_of_the_pipeline(strength):
    tf = pytest.importorskip("tensorflow")
    from fine2coarse.input.rand_augment import OPERATIONS as theirs

    assert [f"_{name}" for name in OPERATION_NAMES] == [one.__name__ for one in theirs]
    images = np.random.default_rng(1).random((14, 16, 16, 3), np.float32)
    images[:, 4:] *= 0.5
    found = compiled(lambda *arrays: apply_operations(*arrays, abs(strength)))(
        images, np.arange(14, dtype=np.int32), np.full(14, strength, np.float32)
    )
    for image, shown, operation in zip(images, found, theirs):
        expected = np.clip(operation(tf.constant(image), tf.constant(strength)), 0, 1)
        np.testing.assert_allclose(shown, expected, atol=1e-5, err_msg=operation.__name__)


def test_operations_are_drawn_equally_often_in_both_directions():
    draws = uniform(position_keys(0, np.arange(14_000)), (OPERATIONS,))[:, 0]
    counts = np.bincount((draws[:, 0] * 14).astype(int))
    assert len(counts) == 14 and np.abs(counts - 1000).max() < 150
    assert abs((draws[:, 1] < 0.5).mean() - 0.5) < 0.02
