"""JPEG files: their colours and metadata; TensorFlow decodes them."""

from __future__ import annotations

import math

import tensorflow as tf

from fine2coarse.input.image_formats.background import of_bearable_size
from fine2coarse.input.image_formats.byte_strings import (
    BIG,
    POSITION,
    STRING,
    contains,
    num_bytes,
    numbers,
    piece,
    rest,
    traced_once,
)
from fine2coarse.input.image_formats.limits import MAX_PIXEL_BYTES
from fine2coarse.input.image_formats.orientation import (
    XMP_TAG,
    may_be_turned,
    orientation,
    upright,
)

# As Pillow decodes; TensorFlow's default is faster by a hundredth and off by up to 4 of 255.
_DCT_METHOD = "INTEGER_ACCURATE"
# Height, width and channels below which each image is of a size that TensorFlow decodes, and RGB.
_PLAIN_SHAPE = (math.isqrt(MAX_PIXEL_BYTES // 3), math.isqrt(MAX_PIXEL_BYTES // 3), 4)
_MAX_SEGMENTS = 10_000
_START_OF_SCAN, _APP1, _APP14 = 0xFFDA, 0xFFE1, 0xFFEE
_EXIF, _XMP, _ADOBE = b"Exif\x00\x00", b"http://ns.adobe.com/xap/1.0/\x00", b"Adobe"
# Says that four channels are CMYK, and inverted, as all programs that write such files mean them.
_ADOBE_CMYK = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


def is_of_format(data: tf.Tensor) -> tf.Tensor:
    """Whether the bytes begin as a JPEG file: scalar bool."""
    return tf.strings.substr(data, 0, 3) == b"\xff\xd8\xff"


def is_plain(data: tf.Tensor) -> tf.Tensor:
    """Whether TensorFlow's JPEG operations show a JPEG file as a viewer does: scalar bool.

    So it is for grey and RGB that is stored upright.
    """
    shape = tf.io.extract_jpeg_shape(data)
    return tf.reduce_all(shape < _PLAIN_SHAPE) & ~may_be_turned(data)


def decode_plain(data: tf.Tensor) -> tf.Tensor:
    """Pixels of a JPEG file that is plain, a scalar string: uint8 [h, w, 3]."""
    return tf.io.decode_jpeg(data, channels=3, dct_method=_DCT_METHOD)


@traced_once(STRING)
def decode(data: tf.Tensor) -> tf.Tensor:
    """Upright pixels of a JPEG file, a scalar string: uint8 [h, w, 3]."""
    height, width, channels = tf.unstack(tf.io.extract_jpeg_shape(data, tf.int64))
    data = of_bearable_size(data, height, width, 3)
    readable = tf.cond(channels == 4, lambda: _with_color_space(data), lambda: data)
    return upright(decode_plain(readable), _orientation(data))


@traced_once(STRING)
def _with_color_space(data: tf.Tensor) -> tf.Tensor:
    """A JPEG of four channels with its colour space marked: its own, or else CMYK."""
    _, says_itself = _segment(data, _APP14, _ADOBE)
    told = tf.strings.join([piece(data, 0, 2), _ADOBE_CMYK, rest(data, 2)])
    return tf.cond(says_itself, lambda: data, lambda: told)


@traced_once(STRING)
def _orientation(data: tf.Tensor) -> tf.Tensor:
    """Orientation by EXIF or XMP: int64 from 1 to 8."""
    exif, _ = _segment(data, _APP1, _EXIF)
    xmp = tf.cond(
        contains(data, XMP_TAG), lambda: _segment(data, _APP1, _XMP)[0], lambda: tf.constant(b"")
    )
    return orientation(exif, xmp)


@traced_once(STRING, POSITION, STRING)
def _segment(data: tf.Tensor, marker: tf.Tensor, signature: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The first segment of a kind in front of the image's data.

    Returns:
      What follows the signature, a scalar string; whether there is one, a scalar bool.
    """
    one = tf.constant(1, tf.int64)

    def header(at: tf.Tensor) -> list[tf.Tensor]:
        return numbers(data, at, [(0, 2), (2, 2)], BIG)

    def going_on(at: tf.Tensor, is_found: tf.Tensor, is_last: tf.Tensor) -> tf.Tensor:
        return ~is_found & ~is_last & (at < num_bytes(data))

    def step(at: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        kind, size = header(at)
        is_wanted = (kind == marker) & (piece(data, at + 4, num_bytes(signature)) == signature)
        is_fill = (kind <= 0xFF00) | (kind == 0xFFFF)
        is_alone = (kind == 0xFF01) | ((kind >= 0xFFD0) & (kind <= 0xFFD8))
        skipped = tf.where(is_fill, one, tf.where(is_alone, 2 * one, size + 2))
        return tf.where(is_wanted, at, at + skipped), is_wanted, kind == _START_OF_SCAN

    at, is_found, _ = tf.while_loop(
        going_on, step, [2 * one, False, False], maximum_iterations=_MAX_SEGMENTS
    )
    begin = 4 + num_bytes(signature)
    size = tf.maximum(header(at)[1] + 2 - begin, 0)
    return piece(data, at + begin, tf.where(is_found, size, 0)), is_found
