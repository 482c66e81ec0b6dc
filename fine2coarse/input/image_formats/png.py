"""PNG files: their transparency and metadata; TensorFlow decodes them."""

from __future__ import annotations

import tensorflow as tf

from fine2coarse.input.image_formats.background import of_bearable_size, on_background
from fine2coarse.input.image_formats.byte_strings import (
    BIG,
    POSITION,
    STRING,
    contains,
    from_values,
    is_one_of,
    num_bytes,
    number,
    numbers,
    piece,
    rest,
    traced_once,
)
from fine2coarse.input.image_formats.orientation import XMP_TAG, orientation, upright

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_XMP_KEYWORD = b"XML:com.adobe.xmp\x00"
# Where ImageMagick wrote EXIF, as lines of hexadecimal digits, before PNG had a chunk for it.
_RAW_EXIF = "Raw profile type exif"
_RAW_HEADER_LINES = 3


def is_of_format(data: tf.Tensor) -> tf.Tensor:
    """Whether the bytes begin as a PNG file: scalar bool."""
    return piece(data, 0, 8) == b"\x89PNG\r\n\x1a\n"


@traced_once(STRING)
def decode(data: tf.Tensor) -> tf.Tensor:
    """Upright pixels of a PNG file, a scalar string: uint8 [h, w, 3]."""
    width, height, color_type = numbers(data, 16, [(0, 4), (4, 4), (9, 1)], BIG)

    def channels(number: int) -> tf.Tensor:
        return tf.io.decode_png(of_bearable_size(data, height, width, number), channels=number)

    # TensorFlow makes up a wrong alpha for images of fewer than 8 bits that have none.
    pixels = tf.cond(
        _has_alpha(data, color_type), lambda: on_background(channels(4)), lambda: channels(3)
    )
    none = tf.constant(b"")
    exif = tf.cond(contains(data, "eXIf"), lambda: _chunk(data, b"eXIf", b"", b""), lambda: none)
    exif = tf.cond(contains(data, _RAW_EXIF) & (exif == b""), lambda: _raw_exif(data), lambda: exif)
    xmp = tf.cond(
        contains(data, XMP_TAG), lambda: _chunk(data, b"iTXt", _XMP_KEYWORD, b""), lambda: none
    )
    return upright(pixels, orientation(exif, xmp))


@traced_once(STRING, POSITION)
def _has_alpha(data: tf.Tensor, color_type: tf.Tensor) -> tf.Tensor:
    """Whether there is an alpha channel, or a tRNS chunk that is valid: scalar bool."""

    def is_valid() -> tf.Tensor:
        size = num_bytes(_chunk(data, b"tRNS", b"", b"IDAT"))
        num_colors = num_bytes(_chunk(data, b"PLTE", b"", b"IDAT")) // 3
        of_palette = (color_type == _PALETTE) & (size > 0) & (size <= num_colors)
        of_grey, of_rgb = (color_type == _GREY) & (size == 2), (color_type == _RGB) & (size == 6)
        return of_palette | of_grey | of_rgb

    has_chunk = tf.cond(contains(data, "tRNS"), is_valid, lambda: tf.constant(False))
    return has_chunk | is_one_of(color_type, _GREY_ALPHA, _RGB_ALPHA)


@traced_once(STRING)
def _raw_exif(data: tf.Tensor) -> tf.Tensor:
    """EXIF from a text chunk: scalar string."""
    keyword = _RAW_EXIF.encode() + b"\x00"
    plain = _chunk(data, b"tEXt", keyword, b"")
    packed = _chunk(data, b"zTXt", keyword, b"")
    text = tf.cond(
        packed == b"",
        lambda: plain,
        lambda: tf.io.decode_compressed(rest(packed, 1), compression_type="ZLIB"),
    )
    digits = tf.strings.reduce_join(tf.strings.split(text, "\n")[_RAW_HEADER_LINES:])
    digits = tf.strings.regex_replace(digits, "[^0-9a-fA-F]", "")
    digits = piece(digits, 0, num_bytes(digits) // 2 * 2)
    codes = tf.cast(tf.io.decode_raw(digits, tf.uint8), tf.int64)
    # '0' is 0x30, 'A' 0x41, 'a' 0x61: letters alone have bit 6, and count from 1.
    pairs = tf.reshape(codes % 16 + 9 * (codes // 64), [-1, 2])
    return from_values(16 * pairs[:, 0] + pairs[:, 1])


@traced_once(STRING, STRING, STRING, STRING)
def _chunk(data: tf.Tensor, kind: tf.Tensor, begin: tf.Tensor, until: tf.Tensor) -> tf.Tensor:
    """Content of a chunk behind what it begins with: scalar string, empty where there is none.

    It is the first of its kind and beginning, and comes before the first one of the kind `until`.
    """

    def is_wanted(at: tf.Tensor) -> tf.Tensor:
        return (piece(data, at + 4, 4) == kind) & (piece(data, at + 8, num_bytes(begin)) == begin)

    def going_on(at: tf.Tensor) -> tf.Tensor:
        return ~is_wanted(at) & (piece(data, at + 4, 4) != until) & (at < num_bytes(data))

    def step(at: tf.Tensor) -> tuple[tf.Tensor]:
        return (at + 12 + number(data, at, 4, BIG),)

    (at,) = tf.while_loop(going_on, step, [tf.constant(8, tf.int64)])
    size = tf.maximum(number(data, at, 4, BIG) - num_bytes(begin), 0)
    return piece(data, at + 8 + num_bytes(begin), tf.where(is_wanted(at), size, 0))
