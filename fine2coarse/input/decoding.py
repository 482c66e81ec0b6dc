"""Encoded images to the pixels that a viewer shows, in TensorFlow operations alone.

TensorFlow's own `decode_image` leaves a photograph lying on its side, drops alpha, shows palette
indices of BMP files as greys, and ends the process on some animations. What is read here is
upright, whole and on a background, or refused with an InvalidArgumentError: in `tf.data`, and in a
SavedModel that a bare TensorFlow loads.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import tensorflow as tf

from fine2coarse.input.image_formats import bmp, gif, jpeg, png, webp
from fine2coarse.input.image_formats.byte_strings import (
    STRING,
    checked,
    num_bytes,
    piece,
    traced_once,
)
from fine2coarse.input.image_formats.limits import BACKGROUND, MAX_PIXEL_BYTES

__all__ = [
    "BACKGROUND",
    "MAX_PIXEL_BYTES",
    "decode_upright",
    "decode_upright_apart",
    "is_plain_jpeg",
]


def decode_upright(image_bytes: tf.Tensor) -> tf.Tensor:
    """Pixels of an encoded image as a viewer shows it.

    JPEG, PNG, GIF, BMP and WebP by their first bytes: turned by the orientation in EXIF or XMP, the
    first frame of an animation, transparent pixels on `BACKGROUND`, CMYK as RGB, the upper 8 of 16
    bits. They equal Pillow's `ImageOps.exif_transpose(image)` on that background, as RGB.

    Args:
      image_bytes: scalar string.

    Returns:
      uint8 [h, w, 3].

    Raises:
      tf.errors.InvalidArgumentError: where the bytes are none of these formats, are damaged, or
        hold more pixels than `MAX_PIXEL_BYTES`.
      tf.errors.DataLossError: where a PNG's packed metadata are damaged.
    """
    pixels = tf.cond(
        is_plain_jpeg(image_bytes),
        lambda: jpeg.decode_plain(image_bytes),
        lambda: decode_upright_apart(image_bytes),
    )
    return tf.ensure_shape(pixels, [None, None, 3])


def is_plain_jpeg(image_bytes: tf.Tensor) -> tf.Tensor:
    """Whether TensorFlow's own JPEG operations show this image as a viewer does: scalar bool.

    So it is for grey and RGB JPEG that is stored upright.
    """
    return tf.cond(
        jpeg.is_of_format(image_bytes),
        lambda: jpeg.is_plain(image_bytes),
        lambda: tf.constant(False),
    )


@traced_once(STRING)
def decode_upright_apart(image_bytes: tf.Tensor) -> tf.Tensor:
    """As `decode_upright`, for where few images need it: no part of the graph that calls it."""
    return _decode_by_format(image_bytes, (jpeg, png, gif, bmp, webp))


def _decode_by_format(image_bytes: tf.Tensor, formats: Sequence[ModuleType]) -> tf.Tensor:
    """Pixels by the first format that applies.

    The choices are nested, and no `tf.switch_case`: where that holds an assertion, `tf.data` takes
    it for random, and under deterministic operations decodes one image at a time.
    """
    if not formats:
        return _refuse(image_bytes)
    first, *others = formats
    return tf.cond(
        first.is_of_format(image_bytes),
        lambda: first.decode(image_bytes),
        lambda: _decode_by_format(image_bytes, others),
    )


def _refuse(data: tf.Tensor) -> tf.Tensor:
    return checked(
        tf.zeros([0, 0, 3], tf.uint8),
        tf.constant(False),
        "expected the bytes of a JPEG, PNG, GIF, BMP or WebP file; convert the image to one of "
        "them. The values of its first bytes, and how many it has:",
        tf.io.decode_raw(piece(data, 0, 12), tf.uint8),
        num_bytes(data),
    )
