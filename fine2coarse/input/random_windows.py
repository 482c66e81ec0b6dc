"""Windows of random area and aspect ratio, many at once, in NumPy or in Keras's operations.

Szegedy et al., arXiv 1409.4842, section 6, as TensorFlow's `sample_distorted_bounding_box` draws
them: an aspect ratio, a height among those that keep the area within its range, a place. Where one
ratio allows no such height, the next attempt counts; where none of them does, the whole image.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fine2coarse.input.augment_ranges import INCEPTION_AREA, INCEPTION_RATIO
from fine2coarse.input.random_bits import Array, array_module

_BELOW_HALF = 0.5 - 1e-7


def random_windows(
    height: float | np.ndarray, width: float | np.ndarray, draws: Array, min_area: float
) -> tuple[Array, Array, Array, Array]:
    """A window for each image.

    Args:
      height: of the images in pixels, one number or float32 [n]; of the kind of the draws.
      width: likewise.
      draws: float32 [n, purposes, 2] in [0, 1), of `augment_ranges.WINDOW_PURPOSES`: of the place,
        and of each attempt.
      min_area: smallest share of the image's area.

    Returns:
      Top, left, height and width, whole numbers of pixels: float32 [n] each.
    """
    ops = array_module(draws)
    height, width = _column(height), _column(width)
    ratio = INCEPTION_RATIO[0] + (INCEPTION_RATIO[1] - INCEPTION_RATIO[0]) * draws[:, 1:, 0]
    least, most = min_area * height * width, INCEPTION_AREA[1] * height * width
    lowest = ops.round(ops.sqrt(least / ratio))
    highest = ops.round(ops.sqrt(most / ratio))
    fitting = ops.floor((width + _BELOW_HALF) / ratio)
    highest = ops.where(ops.round(highest * ratio) > width, fitting, highest)
    highest = ops.minimum(highest, height)
    lowest = ops.minimum(lowest, highest)
    tall = lowest + ops.floor(draws[:, 1:, 1] * (highest - lowest + 1.0))
    # Rounding may lead out of the range by one row.
    tall = ops.where(tall * ops.round(tall * ratio) < least, tall + 1.0, tall)
    tall = ops.where(tall * ops.round(tall * ratio) > most, tall - 1.0, tall)
    wide = ops.round(tall * ratio)
    area = tall * wide
    fits = (area >= least) & (area <= most) & (tall <= height) & (wide <= width) & (area > 0)
    fits = ops.where(fits, np.float32(1), np.float32(0))
    first = ops.expand_dims(ops.argmax(fits, axis=1), 1)

    def chosen(values: Array, whole: Any) -> Array:
        values = ops.take_along_axis(values, first, axis=1)
        return ops.where(ops.take_along_axis(fits, first, axis=1) > 0, values, whole)[:, 0]

    tall, wide = chosen(tall, height), chosen(wide, width)
    top = ops.floor(draws[:, 0, 0] * (height[:, 0] - tall))
    left = ops.floor(draws[:, 0, 1] * (width[:, 0] - wide))
    return top, left, tall, wide


def _column(side: float | np.ndarray) -> np.ndarray:
    return np.reshape(np.asarray(side, np.float32), (-1, 1))
