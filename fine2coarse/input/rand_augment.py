"""RandAugment (Cubuk et al., arXiv 1909.13719): a few random operations, all of one strength.

Every choice comes from a seed that is given, so a position in the stream always shows the same
image. (Keras's layer of this name draws from a generator's state, which a restart loses.)
"""

from __future__ import annotations

import tensorflow as tf

from fine2coarse.input.augment_ranges import (
    FULL_MAGNITUDE,
    GREY,
    LUMA,
    MAX_ENHANCEMENT,
    MAX_ROTATION,
    MAX_SHEAR,
    MAX_SHIFT,
)


def rand_augment(image: tf.Tensor, seed: tf.Tensor, num_ops: int, magnitude: float) -> tf.Tensor:
    """Applies `num_ops` operations, each drawn from 14 with replacement.

    Args:
      image: float32 [H, W, 3] in [0, 1].
      seed: int64 [2]; the same seed gives the same image.
      num_ops: how many.
      magnitude: their strength; 10 is the full range of AutoAugment.

    Returns:
      float32 [H, W, 3] in [0, 1].
    """
    strength = magnitude / FULL_MAGNITUDE
    shape = image.shape
    for number in range(num_ops):
        draw = tf.random.experimental.stateless_fold_in(seed, number)
        choice = tf.random.stateless_uniform([], draw, 0, len(OPERATIONS), tf.int32)
        toss = tf.random.stateless_uniform([], draw + tf.constant([0, 1], draw.dtype))
        signed = tf.where(toss < 0.5, -strength, strength)
        branches = [
            lambda op=op, image=image, signed=signed: op(image, signed) for op in OPERATIONS
        ]
        image = tf.clip_by_value(tf.switch_case(choice, branches), 0.0, 1.0)
        image = tf.ensure_shape(image, shape)
    return image


def _identity(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return image


def _auto_contrast(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    low = tf.reduce_min(image, (0, 1))
    high = tf.reduce_max(image, (0, 1))
    stretched = (image - low) / tf.maximum(high - low, 1e-6)
    return tf.where(high > low, stretched, image)


def _equalize(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    """Each channel's values spread by their ranks, in 256 bins."""
    bins = tf.cast(tf.round(image * 255.0), tf.int32)

    def channel(values: tf.Tensor) -> tf.Tensor:
        counts = tf.math.bincount(tf.reshape(values, [-1]), minlength=256, maxlength=256)
        below = tf.cumsum(counts) - counts
        span = tf.maximum(tf.size(values) - tf.reduce_max(tf.where(counts > 0, counts, 0)), 1)
        return tf.cast(tf.gather(below, values), tf.float32) / tf.cast(span, tf.float32)

    return tf.stack([channel(bins[..., c]) for c in range(3)], -1)


def _rotate(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    angle = signed * MAX_ROTATION
    cosine, sine = tf.cos(angle), tf.sin(angle)
    return _affine(image, [[cosine, -sine], [sine, cosine]], [0.0, 0.0])


def _shear_x(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return _affine(image, [[1.0, signed * MAX_SHEAR], [0.0, 1.0]], [0.0, 0.0])


def _shear_y(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return _affine(image, [[1.0, 0.0], [signed * MAX_SHEAR, 1.0]], [0.0, 0.0])


def _shift_x(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return _affine(image, [[1.0, 0.0], [0.0, 1.0]], [signed * MAX_SHIFT, 0.0])


def _shift_y(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return _affine(image, [[1.0, 0.0], [0.0, 1.0]], [0.0, signed * MAX_SHIFT])


def _posterize(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    """Keeps 8 bits down to 4."""
    bits = 8.0 - tf.minimum(tf.round(4.0 * tf.abs(signed)), 7.0)
    levels = tf.pow(2.0, bits)
    return tf.floor(image * 255.0 / 256.0 * levels) / levels * 256.0 / 255.0


def _solarize(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    threshold = 1.0 - tf.minimum(tf.abs(signed), 1.0)
    return tf.where(image < threshold, image, 1.0 - image)


def _color(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return _blend(tf.broadcast_to(_luma(image)[..., None], tf.shape(image)), image, signed)


def _contrast(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return _blend(tf.reduce_mean(_luma(image)), image, signed)


def _brightness(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    return _blend(0.0, image, signed)


def _sharpness(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    """Blends with a 3×3 smoothing; the border keeps its values, as in PIL."""
    kernel = tf.constant([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]]) / 13.0
    kernel = tf.tile(kernel[:, :, None, None], [1, 1, 3, 1])
    inner = tf.nn.depthwise_conv2d(image[None], kernel, [1, 1, 1, 1], "VALID")[0]
    padding = [[1, 1], [1, 1], [0, 0]]
    is_inner = tf.pad(tf.ones_like(inner), padding)
    return _blend(tf.where(is_inner > 0, tf.pad(inner, padding), image), image, signed)


def _blend(from_image: tf.Tensor | float, image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    """`image` moved away from `from_image` (signed > 0) or towards it."""
    return from_image + (1.0 + MAX_ENHANCEMENT * signed) * (image - from_image)


def _luma(image: tf.Tensor) -> tf.Tensor:
    return tf.tensordot(image, tf.constant(LUMA), 1)


def _affine(image: tf.Tensor, matrix: list, shift: list) -> tf.Tensor:
    """Output pixel p shows input pixel matrix·(p - centre) + centre + shift; the rest is grey."""
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    side = tf.cast(tf.stack([width, height]), tf.float32)
    centre = (side - 1.0) / 2.0
    matrix = tf.convert_to_tensor(matrix)
    offset = centre - tf.linalg.matvec(matrix, centre) + tf.convert_to_tensor(shift) * side
    rows = tf.concat([matrix, offset[:, None]], 1)
    transform = tf.concat([tf.reshape(rows, [6]), [0.0, 0.0]], 0)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=transform[None],
        output_shape=tf.stack([height, width]),
        fill_value=GREY,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[0]


OPERATIONS = (
    _identity,
    _auto_contrast,
    _equalize,
    _rotate,
    _shear_x,
    _shear_y,
    _shift_x,
    _shift_y,
    _posterize,
    _solarize,
    _color,
    _contrast,
    _brightness,
    _sharpness,
)
