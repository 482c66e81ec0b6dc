"""How an image is to be turned before it is shown, by its EXIF data or else by its XMP data.

The numbers are EXIF's (CIPA DC-008, tag 0x0112): 1 as stored, 2 mirrored, 3 turned by 180°, 4
mirrored top to bottom, 5 transposed, 6 to be turned clockwise by 90°, 7 transposed along the other
diagonal, 8 to be turned anticlockwise by 90°.
"""

from __future__ import annotations

import tensorflow as tf

from fine2coarse.input.image_formats.byte_strings import (
    BIG,
    LITTLE,
    POSITION,
    STRING,
    contains_match,
    is_one_of,
    num_bytes,
    number,
    numbers,
    piece,
    rest,
    traced_once,
    weights,
)

XMP_TAG = "tiff:Orientation"
"""Occurs in every XMP that holds an orientation."""

_TAG, _SHORT, _LONG = 0x0112, 3, 4
_TIFF_VERSION = 42
_ENTRY_BYTES = 12
# Tag, type, number of values, value as a short number and as a long one.
_ENTRY = [(0, 2), (2, 2), (4, 4), (8, 2), (8, 4)]
_ENTRY_LITTLE, _ENTRY_BIG = weights(_ENTRY, LITTLE), weights(_ENTRY, BIG)
_EXIF_MARK = b"Exif\x00\x00"
# What says 2 to 8: an entry of a directory in either byte order (tag, type, count, value), XMP.
_TURNED = (
    r"\x12\x01[\x03\x04]\x00[\x01\x02]\x00\x00\x00[\x02-\x08]\x00",
    r"\x01\x12\x00(?:\x03\x00\x00\x00[\x01\x02]|\x04\x00\x00\x00\x01\x00\x00)\x00[\x02-\x08]",
    rf'{XMP_TAG}(?:="|>)[2-8]',
)
# The expression that Pillow searches; \C is any byte.
_XMP_PATTERN = rf'\C*?{XMP_TAG}(?:="|>)([0-9])\C*'


def may_be_turned(data: tf.Tensor) -> tf.Tensor:
    """Whether a file may hold an orientation other than 1: scalar bool, in some microseconds.

    Args:
      data: scalar string, a file that holds its EXIF and XMP data as they are.
    """
    return contains_match(data, *_TURNED)


@traced_once(STRING, STRING)
def orientation(exif: tf.Tensor, xmp: tf.Tensor) -> tf.Tensor:
    """Orientation of an image: int64 scalar from 1 to 8; 1 where the metadata have none.

    Args:
      exif: scalar string, a TIFF header with its directory, behind `Exif` and two zeros or not;
        empty for none.
      xmp: scalar string, XML; empty for none.
    """
    none = tf.constant(0, tf.int64)
    of_exif = tf.cond(exif == b"", lambda: none, lambda: _exif_orientation(exif))
    found = tf.cond((of_exif == 0) & (xmp != b""), lambda: _xmp_orientation(xmp), lambda: of_exif)
    return tf.where((found >= 1) & (found <= 8), found, tf.ones([], tf.int64))


@traced_once(tf.TensorSpec([None, None, 3], tf.uint8), POSITION)
def upright(pixels: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Pixels as they are to be shown.

    Args:
      pixels: uint8 [h, w, 3].
      turn: the orientation, int64 from 1 to 8.

    Returns:
      uint8 [h, w, 3] or [w, h, 3].
    """
    pixels = tf.cond(turn >= 5, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
    axes = {1: is_one_of(turn, 2, 3, 6, 7), 0: is_one_of(turn, 3, 4, 7, 8)}
    for axis, is_mirrored in axes.items():
        pixels = _mirrored(pixels, axis, is_mirrored)
    return pixels


def _mirrored(pixels: tf.Tensor, axis: int, is_mirrored: tf.Tensor) -> tf.Tensor:
    return tf.cond(is_mirrored, lambda: tf.reverse(pixels, [axis]), lambda: pixels)


def _exif_orientation(exif: tf.Tensor) -> tf.Tensor:
    """The tag's value: int64; 0 where there is none, or the bytes are no EXIF."""
    is_marked = piece(exif, 0, len(_EXIF_MARK)) == _EXIF_MARK
    tiff = rest(exif, tf.where(is_marked, tf.constant(len(_EXIF_MARK), tf.int64), 0))
    is_little = piece(tiff, 0, 2) == b"II"
    is_tiff = is_little | (piece(tiff, 0, 2) == b"MM")

    def in_order(of_little: list[tf.Tensor], of_big: list[tf.Tensor]) -> list[tf.Tensor]:
        return tf.unstack(tf.where(is_little, of_little, of_big))

    header = [(2, 2), (4, 4)]
    version, directory = in_order(numbers(tiff, 0, header, LITTLE), numbers(tiff, 0, header, BIG))
    (count,) = in_order([number(tiff, directory, 2, LITTLE)], [number(tiff, directory, 2, BIG)])
    entries = piece(tiff, directory + 2, count * _ENTRY_BYTES)
    raw = tf.io.decode_raw(
        piece(entries, 0, num_bytes(entries) // _ENTRY_BYTES * _ENTRY_BYTES), tf.uint8
    )
    rows = tf.cast(tf.reshape(raw, [-1, _ENTRY_BYTES]), tf.int64)
    tag, kind, num_values, short, long = tf.unstack(
        tf.where(is_little, rows @ _ENTRY_LITTLE, rows @ _ENTRY_BIG), axis=1
    )
    # Two short values lie in the entry as well, and the first of them is taken.
    is_short = (kind == _SHORT) & ((num_values == 1) | (num_values == 2))
    is_long = (kind == _LONG) & (num_values == 1)
    wanted = (tag == _TAG) & (is_short | is_long)
    values = tf.boolean_mask(tf.where(kind == _SHORT, short, long), wanted)
    # Of a tag that occurs twice the last one counts.
    found = tf.concat([[0], values], 0)[-1]
    return tf.where(is_tiff & (version == _TIFF_VERSION), found, 0)


def _xmp_orientation(xmp: tf.Tensor) -> tf.Tensor:
    digit = tf.strings.regex_replace(xmp, _XMP_PATTERN, r"\1", replace_global=False)
    is_found = (num_bytes(digit) == 1) & (num_bytes(xmp) > 1)
    return tf.where(is_found, number(digit, 0, 1, BIG) - ord("0"), 0)
