"""Crops, shifts and flips of whole batches inside the compiled step, as matrix products.

What `augmentation.py` does to one image in `tf.data`, this does to a batch on the device, in
`keras.ops`: a crop, its resizing, a shift and a flip are together one matrix of weights for the
rows and one for the columns. Weights of 0 and 1, where nothing is resized, keep pixels exactly.
Which change an image gets follows from its key alone (`random_bits.position_keys`).
"""

from __future__ import annotations

import numpy as np
from keras import ops

from fine2coarse.errors import UsageError
from fine2coarse.input.augment_ranges import FLIP, OPERATIONS, SHIFT, WINDOW_PURPOSES
from fine2coarse.input.random_bits import Array, array_module, uniform
from fine2coarse.input.random_windows import random_windows
from fine2coarse.input.step_rand_augment import rand_augment
from fine2coarse.recipes.phase_spec import AugmentSpec

_WHITE = 255.0


def augmented(pixels: Array, keys: Array, size_px: int, augment: AugmentSpec) -> Array:
    """Training images, changed at random as `augmentation.train_image` changes them.

    Args:
      pixels: uint8 [B, h, w, 3].
      keys: uint32 [B, 2]; the same key gives the same image.
      size_px: S, side of the result.
      augment: what to change.

    Returns:
      float32 [B, S, S, 3] in [0, 1].
    """
    height, width = pixels.shape[1:3]
    num_operations = augment.rand_augment_ops
    purposes = (FLIP, SHIFT, *WINDOW_PURPOSES, *range(OPERATIONS, OPERATIONS + num_operations))
    draws = uniform(keys, purposes)
    is_flipped = draws[:, 0, 0] < 0.5 if augment.flip else None
    num_others = len(purposes) - num_operations
    if augment.crop == "inception":
        window_draws = draws[:, 2:num_others]
        top, left, tall, wide = random_windows(height, width, window_draws, augment.min_area)
        # As there: shrinking by less than two misses no pixel, and takes no filter.
        is_filtered = ops.minimum(tall, wide) >= 2.0 * size_px
        rows = _weights(top, tall, is_filtered, size_px, height)
        columns = _weights(left, wide, is_filtered, size_px, width)
    else:
        rows, columns = _central(height, width, size_px)
        if augment.crop == "shift" and augment.shift_px:
            rows = _shifted(rows, draws[:, 1, 0], augment.shift_px)
            columns = _shifted(columns, draws[:, 1, 1], augment.shift_px)
    images = _resampled(pixels, rows, columns, is_flipped)
    if not num_operations:
        return images
    return rand_augment(images, draws[:, num_others:], augment.rand_augment_magnitude)


def central(pixels: Array, size_px: int) -> Array:
    """The largest central squares, resized as by `augmentation.eval_image`.

    Args:
      pixels: uint8 [B, h, w, 3].
      size_px: S, side of the result.

    Returns:
      float32 [B, S, S, 3] in [0, 1].
    """
    return _resampled(pixels, *_central(*pixels.shape[1:3], size_px), None)


def _central(height: int, width: int, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights [S, h] and [S, w] of the central square."""
    side, is_filtered = min(height, width), np.array([True])
    found = []
    for length in (height, width):
        begin, extent = np.float32([(length - side) // 2]), np.float32([side])
        found.append(_weights(begin, extent, is_filtered, size_px, length)[0])
    return tuple(found)


def _weights(begin: Array, extent: Array, is_filtered: Array, size_px: int, length: int) -> Array:
    """How much of each pixel of a row each pixel of the result holds: bilinear.

    Args:
      begin: float32 [B], where the window begins.
      extent: float32 [B], its length.
      is_filtered: bool [B], whether the filter grows with the shrinking (antialiasing).
      size_px: S, pixels of the result.
      length: L, pixels of the image.

    Returns:
      float32 [B, S, L], each row summing to 1, in NumPy where it is given.
    """
    module = array_module(begin)
    begin, extent = begin[:, None, None], extent[:, None, None]
    scale = extent / np.float32(size_px)
    one = np.float32(1)
    support = module.where(is_filtered[:, None, None], module.maximum(scale, one), one)
    targets = (np.arange(size_px, dtype=np.float32) + 0.5)[None, :, None]
    sources = (np.arange(length, dtype=np.float32) + 0.5)[None, None, :]
    distance = module.abs(sources - (begin + targets * scale)) / support
    is_inside = (sources > begin) & (sources < begin + extent)
    weights = module.where(is_inside, module.maximum(one - distance, np.float32(0)), np.float32(0))
    return weights / module.sum(weights, -1, keepdims=True)


def _shifted(weights: np.ndarray, draw: Array, shift_px: int) -> Array:
    """Weights of rows moved by -shift_px to shift_px, what lies beyond being mirrored.

    Args:
      weights: float32 [S, L].
      draw: float32 [B] in [0, 1).
      shift_px: less than S.

    Returns:
      float32 [B, S, L].

    Raises:
      UsageError: where the image is too small for such a shift.
    """
    last = len(weights) - 1
    if shift_px > last:
        raise UsageError(
            f"augment.shift_px is {shift_px}, the images are {last + 1} px: expected less than that"
        )
    shift = ops.floor(draw * np.float32(2 * shift_px + 1)) - np.float32(shift_px)
    places = ops.abs(shift[:, None] + np.arange(last + 1, dtype=np.float32))
    places = last - ops.abs(last - places)
    return ops.take(weights, ops.cast(places, "int32"), axis=0)


def _resampled(pixels: Array, rows: Array, columns: Array, is_flipped: Array | None) -> Array:
    """Images by the weights of their rows and columns, some of them mirrored.

    Args:
      pixels: uint8 [B, h, w, 3].
      rows: float32 [S, h] or [B, S, h].
      columns: float32 [S, w] or [B, S, w].
      is_flipped: bool [B]; None for none.

    Returns:
      float32 [B, S, S, 3] in [0, 1].
    """
    images = ops.cast(pixels, "float32")
    if len(rows.shape) == 3:
        if is_flipped is not None:
            mirrored = ops.flip(columns, 1)
            columns = ops.where(is_flipped[:, None, None], mirrored, columns)
            is_flipped = None
        images = ops.einsum("byh,bhwc->bywc", rows, images)
        images = ops.einsum("bxw,bywc->byxc", columns, images)
    elif not (_keeps_all(rows) and _keeps_all(columns)):
        images = ops.einsum("yh,bhwc->bywc", rows, images)
        images = ops.einsum("xw,bywc->byxc", columns, images)
    images = ops.clip(images / _WHITE, 0.0, 1.0)
    if is_flipped is None:
        return images
    return ops.where(is_flipped[:, None, None, None], ops.flip(images, 2), images)


def _keeps_all(weights: np.ndarray) -> bool:
    return weights.shape[0] == weights.shape[1] and bool((weights == np.eye(len(weights))).all())
