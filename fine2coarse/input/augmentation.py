"""From stored image bytes to float images: decoding, training crops, evaluation crops."""

from __future__ import annotations

import functools

import tensorflow as tf

from fine2coarse.input.augment_ranges import INCEPTION_AREA, INCEPTION_RATIO
from fine2coarse.input.decoding import decode_upright, decode_upright_apart, is_plain_jpeg
from fine2coarse.input.rand_augment import rand_augment
from fine2coarse.recipes.phase_spec import AugmentSpec


def train_image(image: tf.Tensor, seed: tf.Tensor, size_px: int, augment: AugmentSpec) -> tf.Tensor:
    """One training image.

    Args:
      image: scalar string (encoded) or uint8 [h, w, 3].
      seed: int64 [2]; the same seed gives the same image.
      size_px: side of the result.
      augment: what to change.

    Returns:
      float32 [size_px, size_px, 3] in [0, 1].
    """
    if augment.crop == "inception":
        result = _inception_crop(image, seed, size_px, augment.min_area)
    else:
        result = eval_image(image, size_px)
        if augment.crop == "shift" and augment.shift_px:
            pad = augment.shift_px
            result = tf.pad(result, [[pad, pad], [pad, pad], [0, 0]], mode="REFLECT")
            result = tf.image.stateless_random_crop(result, [size_px, size_px, 3], seed)
    if augment.flip:
        result = tf.image.stateless_random_flip_left_right(result, seed + [0, 1])
    if augment.rand_augment_ops:
        draw = tf.random.experimental.stateless_fold_in(seed, 2)
        result = rand_augment(
            result, draw, augment.rand_augment_ops, augment.rand_augment_magnitude
        )
    return result


def eval_image(image: tf.Tensor, size_px: int) -> tf.Tensor:
    """The largest central square, resized: float32 [size_px, size_px, 3] in [0, 1]."""
    pixels = _decode(image)
    shape = tf.shape(pixels)
    side = tf.minimum(shape[0], shape[1])
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    square = tf.slice(pixels, [top, left, 0], [side, side, 3])
    return _resize(square, size_px)


def _decode(image: tf.Tensor) -> tf.Tensor:
    if image.dtype == tf.uint8:
        return image
    return decode_upright(image)


def _resize(pixels: tf.Tensor, size_px: int) -> tf.Tensor:
    if pixels.shape[:2] == [size_px, size_px]:
        return tf.cast(pixels, tf.float32) / 255.0
    resized = tf.image.resize(pixels, [size_px, size_px], antialias=True)
    resized.set_shape([size_px, size_px, 3])
    return tf.clip_by_value(resized / 255.0, 0.0, 1.0)


def _inception_crop(image: tf.Tensor, seed: tf.Tensor, size_px: int, min_area: float) -> tf.Tensor:
    def from_pixels(pixels: tf.Tensor) -> tf.Tensor:
        begin, extent = _random_window(tf.shape(pixels), seed, min_area)
        cropped = tf.slice(pixels, begin, extent)
        is_small = tf.reduce_min(extent[:2]) < 2 * size_px
        return tf.cond(
            is_small, lambda: _resize_little(cropped, size_px), lambda: _resize(cropped, size_px)
        )

    def from_jpeg() -> tf.Tensor:
        begin, extent = _random_window(tf.io.extract_jpeg_shape(image), seed, min_area)
        window = tf.concat([begin[:2], extent[:2]], 0)
        return _resize_little(_decode_window(image, window, size_px), size_px)

    if image.dtype == tf.uint8:
        return from_pixels(image)
    # JPEG alone can be cropped while it is decoded, which saves most of the decoding. Where it is
    # to be turned first, or its colours are converted, it is decoded whole.
    return tf.cond(
        is_plain_jpeg(image), from_jpeg, lambda: from_pixels(decode_upright_apart(image))
    )


def _decode_window(image: tf.Tensor, window: tf.Tensor, size_px: int) -> tf.Tensor:
    """Decodes a window of a JPEG at the smallest of its own scales that is not below `size_px`.

    JPEG decodes to 1/2, 1/4 or 1/8 for less than the whole costs, and without aliasing.
    """

    def at_scale(scale: int) -> tf.Tensor:
        return tf.image.decode_and_crop_jpeg(image, window // scale, channels=3, ratio=scale)

    shorter = tf.reduce_min(window[2:])
    fitting = tf.reduce_sum(tf.cast(shorter >= [2 * size_px, 4 * size_px, 8 * size_px], tf.int32))
    return tf.switch_case(fitting, [functools.partial(at_scale, scale) for scale in (1, 2, 4, 8)])


def _resize_little(pixels: tf.Tensor, size_px: int) -> tf.Tensor:
    """Bilinear without a filter, for a fraction of its cost.

    Shrinking by less than two it misses no pixel. The longer side of a random crop may shrink by
    up to 2 · 4/3.
    """
    resized = tf.image.resize(pixels, [size_px, size_px])
    resized.set_shape([size_px, size_px, 3])
    return resized / 255.0


def _random_window(
    shape: tf.Tensor, seed: tf.Tensor, min_area: float
) -> tuple[tf.Tensor, tf.Tensor]:
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        tf.zeros([1, 0, 4]),
        seed,
        min_object_covered=0.0,
        aspect_ratio_range=INCEPTION_RATIO,
        area_range=(min_area, INCEPTION_AREA[1]),
        use_image_if_no_bounding_boxes=True,
    )
    return begin, tf.concat([extent[:2], [3]], 0)
