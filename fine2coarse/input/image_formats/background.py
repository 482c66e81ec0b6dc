"""Images laid on their background, and refused where they are too large."""

from __future__ import annotations

import tensorflow as tf

from fine2coarse.input.image_formats.byte_strings import checked, traced_once
from fine2coarse.input.image_formats.limits import BACKGROUND, MAX_PIXEL_BYTES


def of_bearable_size(
    data: tf.Tensor, height: tf.Tensor, width: tf.Tensor, num_channels: int
) -> tf.Tensor:
    """The data, once the image's size int64 is known to be one that can be decoded."""
    most = MAX_PIXEL_BYTES // num_channels
    return checked(
        data,
        (height <= most) & (width <= most) & (height * width <= most),
        f"image too large: expected at most {MAX_PIXEL_BYTES} bytes of pixels at {num_channels} "
        "bytes a pixel; make it smaller. Its height and width:",
        height,
        width,
    )


@traced_once(tf.TensorSpec([None, None, 4], tf.uint8))
def on_background(pixels: tf.Tensor) -> tf.Tensor:
    """Pixels with alpha, uint8 [h, w, 4], on `BACKGROUND`: uint8 [h, w, 3]."""
    alpha = tf.cast(pixels[:, :, 3:], tf.uint16)
    behind = tf.constant(BACKGROUND, tf.uint16) * (255 - alpha)
    mixed = tf.cast(pixels[:, :, :3], tf.uint16) * alpha + behind
    return tf.cast((mixed + 127) // 255, tf.uint8)
