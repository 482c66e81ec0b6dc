"""RandAugment of whole batches inside the compiled step, in `keras.ops`.

The operations are those of `rand_augment.py`, in the same order. There each image goes through the
one it drew; here all images go through each kind, and each keeps what it drew: rotation, shears and
shifts are one resampling by a matrix of its own, the enhancements one blend.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from keras import ops

from fine2coarse.input.augment_ranges import (
    FULL_MAGNITUDE,
    GREY,
    LUMA,
    MAX_ENHANCEMENT,
    MAX_ROTATION,
    MAX_SHEAR,
    MAX_SHIFT,
)
from fine2coarse.input.random_bits import Array

OPERATION_NAMES = (
    "identity",
    "auto_contrast",
    "equalize",
    "rotate",
    "shear_x",
    "shear_y",
    "shift_x",
    "shift_y",
    "posterize",
    "solarize",
    "color",
    "contrast",
    "brightness",
    "sharpness",
)
"""What an image may draw, by number."""

_NUMBER = {name: number for number, name in enumerate(OPERATION_NAMES)}
_NUM_LEVELS = 256


def rand_augment(images: Array, draws: Array, magnitude: float) -> Array:
    """Applies some operations to each image, each drawn from 14 with replacement.

    Args:
      images: float32 [B, S, S, 3] in [0, 1].
      draws: float32 [B, operations, 2] in [0, 1): which one, and in which direction.
      magnitude: their strength; 10 is the full range of AutoAugment.

    Returns:
      float32 [B, S, S, 3] in [0, 1].
    """
    strength = magnitude / FULL_MAGNITUDE

    def apply(number: Array, images: Array) -> Array:
        drawn = ops.take(draws, number, axis=1)
        choice = ops.cast(ops.floor(drawn[:, 0] * len(OPERATION_NAMES)), "int32")
        signed = ops.where(drawn[:, 1] < 0.5, np.float32(-strength), np.float32(strength))
        return apply_operations(images, choice, signed, strength)

    # A loop, lest XLA compute one operation anew for each pixel that the next one takes from it.
    return ops.fori_loop(0, draws.shape[1], apply, images)


def apply_operations(images: Array, choice: Array, signed: Array, strength: float) -> Array:
    """One operation on each image.

    Args:
      images: float32 [B, S, S, 3] in [0, 1].
      choice: int32 [B], of `OPERATION_NAMES`.
      signed: float32 [B], strength and direction.
      strength: the same without direction.

    Returns:
      float32 [B, S, S, 3] in [0, 1].
    """

    def chose(*names: str) -> Array:
        is_one = choice == _NUMBER[names[0]]
        for name in names[1:]:
            is_one = is_one | (choice == _NUMBER[name])
        return is_one

    def each(values: Array) -> Array:
        return values[:, None, None, None]

    changed = _affine(images, *_matrices(chose, signed))
    blends = {
        "color": _grey_of(images),
        "contrast": ops.mean(_grey_of(images), (1, 2, 3), keepdims=True),
        "brightness": ops.zeros_like(images[:, :1, :1, :1]),
        "sharpness": _smooth(images),
    }
    start = images
    for name, values in blends.items():
        start = ops.where(each(chose(name)), values, start)
    factor = 1.0 + MAX_ENHANCEMENT * each(signed)
    changed = ops.where(each(chose(*blends)), start + factor * (images - start), changed)
    others = {
        "auto_contrast": _auto_contrast(images),
        "equalize": _equalize(images),
        "posterize": _posterize(images, strength),
        "solarize": ops.where(images < 1.0 - min(strength, 1.0), images, 1.0 - images),
    }
    for name, values in others.items():
        changed = ops.where(each(chose(name)), values, changed)
    return ops.clip(changed, 0.0, 1.0)


def _matrices(chose: Callable[..., Array], signed: Array) -> tuple[Array, Array]:
    """Of what moves pixels: matrices [B, 2, 2], shifts [B, 2] as a share of the side; x first."""
    zero, one = ops.zeros_like(signed), ops.ones_like(signed)
    turns = chose("rotate")
    angle = ops.where(turns, signed * MAX_ROTATION, zero)
    cosine, sine = ops.where(turns, ops.cos(angle), one), ops.sin(angle)
    shear_x = ops.where(chose("shear_x"), signed * MAX_SHEAR, zero)
    shear_y = ops.where(chose("shear_y"), signed * MAX_SHEAR, zero)
    matrix = ops.stack([cosine, shear_x - sine, shear_y + sine, cosine], -1)
    shift_x = ops.where(chose("shift_x"), signed * MAX_SHIFT, zero)
    shift_y = ops.where(chose("shift_y"), signed * MAX_SHIFT, zero)
    return ops.reshape(matrix, (-1, 2, 2)), ops.stack([shift_x, shift_y], -1)


def _affine(images: Array, matrix: Array, shift: Array) -> Array:
    """Output pixel p shows input pixel matrix·(p - centre) + centre + shift; the rest is grey."""
    height, width, channels = images.shape[1:]
    side = np.float32([width, height])
    centre = (side - 1.0) / 2.0
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    offset = centre - ops.sum(matrix * centre, -1) + shift * side

    def source(axis: int) -> Array:
        from_x, from_y = matrix[:, axis, 0, None, None] * x, matrix[:, axis, 1, None, None] * y
        return from_x + from_y + offset[:, axis, None, None]

    left, top = ops.floor(source(0)), ops.floor(source(1))
    from_left, from_top = source(0) - left, source(1) - top
    at_x = ops.stack([left, left + 1.0, left, left + 1.0], 1)
    at_y = ops.stack([top, top, top + 1.0, top + 1.0], 1)
    is_inside = (at_x >= 0) & (at_x < width) & (at_y >= 0) & (at_y < height)
    places = ops.clip(at_y, 0, height - 1) * width + ops.clip(at_x, 0, width - 1)
    pixels = _pixels(ops.reshape(images, (-1, height * width, channels)), places)
    pixels = ops.where(is_inside[..., None], pixels, GREY)

    def between(first: Array, second: Array, share: Array) -> Array:
        return first * (1.0 - share[..., None]) + second * share[..., None]

    upper = between(pixels[:, 0], pixels[:, 1], from_left)
    lower = between(pixels[:, 2], pixels[:, 3], from_left)
    return between(upper, lower, from_top)


def _pixels(images: Array, places: Array) -> Array:
    """Pixels of each image [B, P, C] at places [B, ...] of its own: [B, ..., C]."""
    flat = ops.reshape(ops.cast(places, "int32"), (-1, math.prod(places.shape[1:])))
    # By image, in one gather that stays on the image's device; `take_along_axis` takes thrice as
    # long, for it looks up each channel.
    found = ops.vectorized_map(lambda one: ops.take(one[0], one[1], axis=0), (images, flat))
    return ops.reshape(found, (-1, *places.shape[1:], images.shape[-1]))


def _auto_contrast(images: Array) -> Array:
    low = ops.min(images, (1, 2), keepdims=True)
    high = ops.max(images, (1, 2), keepdims=True)
    stretched = (images - low) / ops.maximum(high - low, 1e-6)
    return ops.where(high > low, stretched, images)


def _equalize(images: Array) -> Array:
    """Each channel's values spread by their ranks, in 256 bins."""
    height, width, channels = images.shape[1:]
    bins = ops.cast(ops.round(images * 255.0), "int32")
    bins = bins + np.arange(channels, dtype=np.int32) * _NUM_LEVELS
    num_bins, ones = channels * _NUM_LEVELS, np.ones(height * width * channels, np.int32)
    counts = ops.vectorized_map(
        lambda numbers: ops.segment_sum(ones, numbers, num_bins),
        ops.reshape(bins, (-1, height * width * channels)),
    )
    counts = ops.reshape(counts, (-1, channels, _NUM_LEVELS))
    below = ops.cumsum(counts, -1) - counts
    span = ops.maximum(height * width - ops.max(counts, -1, keepdims=True), 1)
    spread = ops.cast(below, "float32") / ops.cast(span, "float32")
    return _pixels(ops.reshape(spread, (-1, num_bins, 1)), bins)[..., 0]


def _posterize(images: Array, strength: float) -> Array:
    """Keeps 8 bits down to 4."""
    levels = 2.0 ** (8.0 - min(round(4.0 * strength), 7.0))
    return ops.floor(images * 255.0 / 256.0 * levels) / levels * 256.0 / 255.0


def _grey_of(images: Array) -> Array:
    """Luminance: float32 [B, S, S, 1]."""
    return ops.sum(images * np.float32(LUMA), -1, keepdims=True)


def _smooth(images: Array) -> Array:
    """Blurred by 3×3 pixels; the border keeps its values, as in PIL."""
    height, width = images.shape[1:3]
    total = sum(
        (5.0 if (row, column) == (1, 1) else 1.0)
        * images[:, row : row + height - 2, column : column + width - 2]
        for row in range(3)
        for column in range(3)
    )
    edges = ((0, 0), (1, 1), (1, 1), (0, 0))
    is_inner = np.pad(np.ones((1, height - 2, width - 2, 1), bool), edges)
    return ops.where(is_inner, ops.pad(total / 13.0, edges), images)
