"""Windows bitmaps (BMP).

TensorFlow's own operation silently takes palette indices for greys, and knows neither 1, 4
and 16 bits a pixel nor bit masks. So they are decoded here.
"""

from __future__ import annotations

import tensorflow as tf

from fine2coarse.input.image_formats.background import of_bearable_size, on_background
from fine2coarse.input.image_formats.byte_strings import (
    LITTLE,
    STRING,
    checked,
    is_one_of,
    num_bytes,
    numbers,
    piece,
    traced_once,
)

_FILE_HEADER_BYTES, _CORE_HEADER_BYTES = 14, 12
_HEADER_BYTES = (12, 40, 52, 56, 64, 108, 124)
_BITS = (1, 4, 8, 16, 24, 32)
_UNCOMPRESSED, _BIT_MASKS = 0, 3
# Red, green, blue and alpha of pixels that come without masks, and of 32 bits with empty ones.
_MASKS_OF_16_BITS = (0x7C00, 0x3E0, 0x1F, 0)
_MASKS_OF_24_BITS = (0xFF0000, 0xFF00, 0xFF, 0)
_MASKS_OF_32_BITS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def is_of_format(data: tf.Tensor) -> tf.Tensor:
    """Whether the bytes begin as a BMP file: scalar bool."""
    return piece(data, 0, 2) == b"BM"


@traced_once(STRING)
def decode(data: tf.Tensor) -> tf.Tensor:
    """Pixels of a BMP file: uint8 [h, w, 3]; compression by run lengths (RLE) is refused.

    Args:
      data: scalar string.
    """
    pixels_at, header = numbers(data, 10, [(0, 4), (4, 4)], LITTLE)
    is_core = header == _CORE_HEADER_BYTES
    of_core = numbers(data, 18, [(0, 2), (2, 2), (6, 2), (8, 0), (8, 0)], LITTLE)
    of_info = numbers(data, 18, [(0, 4), (4, 4), (10, 2), (12, 4), (28, 4)], LITTLE)
    width, height, bits, compression, num_colors = tf.unstack(
        tf.where(is_core, tf.stack(of_core), tf.stack(of_info))
    )
    goes_down = height >= 1 << 31
    height = tf.where(goes_down, (1 << 32) - height, height)
    is_indexed, has_masks = bits <= 8, compression == _BIT_MASKS
    data = of_bearable_size(data, height, width, 4)
    bits = checked(
        bits,
        is_one_of(header, *_HEADER_BYTES)
        & is_one_of(bits, *_BITS)
        & ((compression == _UNCOMPRESSED) | (has_masks & ~is_indexed))
        & (height > 0)
        & (width > 0)
        & (pixels_at >= _FILE_HEADER_BYTES + header),
        "BMP file that cannot be decoded: expected 1, 4, 8, 16, 24 or 32 bits a pixel and no "
        "compression; save the image as PNG. Its header's size, width, height, bits, compression "
        "and the place of its pixels:",
        *(header, width, height, bits, compression, pixels_at),
    )
    palette_at = _FILE_HEADER_BYTES + header
    entry_bytes = tf.where(is_core, tf.constant(3, tf.int64), 4)
    all_colors = tf.bitwise.left_shift(tf.ones([], tf.int64), tf.minimum(bits, 8))
    palette_bytes = entry_bytes * tf.where(num_colors == 0, all_colors, num_colors)
    # Some programs give the palette's place for the pixels'.
    pixels_at += tf.where(is_indexed & (pixels_at == palette_at), palette_bytes, 0)
    row_bytes = (width * bits + 31) // 32 * 4
    data = checked(
        data,
        num_bytes(data) >= pixels_at + row_bytes * height,
        "truncated BMP file. Its bytes, and those that its header names:",
        num_bytes(data),
        pixels_at + row_bytes * height,
    )
    rows = tf.io.decode_raw(piece(data, pixels_at, row_bytes * height), tf.uint8)
    rows = tf.reshape(rows, tf.stack([height, row_bytes]))
    rows = tf.cond(goes_down, lambda: rows, lambda: tf.reverse(rows, [0]))
    pixels = tf.cond(
        is_indexed,
        lambda: _by_palette(rows, width, bits, piece(data, palette_at, palette_bytes), entry_bytes),
        lambda: _by_masks(rows, width, bits, _masks(data, header, bits, has_masks)),
    )
    return on_background(pixels)


def _by_palette(
    rows: tf.Tensor, width: tf.Tensor, bits: tf.Tensor, palette: tf.Tensor, entry_bytes: tf.Tensor
) -> tf.Tensor:
    """Pixels of 1, 4 or 8 bits, the leftmost in a byte's highest bits: uint8 [h, w, 4]."""
    bits = tf.cast(bits, tf.int32)
    shifts = tf.range(8 // bits)[::-1] * bits
    parts = tf.bitwise.right_shift(tf.cast(rows, tf.int32)[:, :, None], shifts)
    parts = tf.bitwise.bitwise_and(parts, tf.bitwise.left_shift(1, bits) - 1)
    indices = tf.reshape(parts, [tf.shape(rows)[0], -1])[:, : tf.cast(width, tf.int32)]
    palette = piece(palette, 0, tf.minimum(num_bytes(palette) // entry_bytes, 256) * entry_bytes)
    colors = tf.reshape(tf.io.decode_raw(palette, tf.uint8), tf.stack([-1, entry_bytes]))
    # Colours that the palette lacks are black.
    colors = tf.pad(colors[:, :3], [[0, 256 - tf.shape(colors)[0]], [0, 0]])
    colors = tf.pad(tf.reverse(colors, [1]), [[0, 0], [0, 1]], constant_values=255)
    return tf.gather(colors, indices)


def _masks(data: tf.Tensor, header: tf.Tensor, bits: tf.Tensor, has_masks: tf.Tensor) -> tf.Tensor:
    """Which bits of a pixel are red, green, blue and alpha: int64 [4]."""
    found = tf.stack(numbers(data, 54, [(0, 4), (4, 4), (8, 4), (12, 4)], LITTLE))
    found = tf.where([True, True, True, False] | (header > 52), found, 0)
    found = tf.where(tf.reduce_all(found == 0), tf.constant(_MASKS_OF_32_BITS, tf.int64), found)
    of_16, of_24 = (tf.constant(m, tf.int64) for m in (_MASKS_OF_16_BITS, _MASKS_OF_24_BITS))
    return tf.where(has_masks, found, tf.where(bits == 16, of_16, of_24))


def _by_masks(rows: tf.Tensor, width: tf.Tensor, bits: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Pixels of 2, 3 or 4 bytes, split by masks: uint8 [h, w, 4]."""
    size = bits // 8
    pixels = tf.reshape(rows[:, : width * size], tf.stack([-1, width, size]))
    weights = tf.bitwise.left_shift(tf.ones([], tf.int64), 8 * tf.range(size))
    values = tf.reduce_sum(tf.cast(pixels, tf.int64) * weights, 2)
    # A mask's lowest bit divides its value and largest value down to a number from 0 on.
    lowest = tf.maximum(tf.bitwise.bitwise_and(masks, -masks), 1)
    parts = tf.bitwise.bitwise_and(values[:, :, None], masks) // lowest
    parts = parts * 255 // tf.maximum(masks // lowest, 1)
    is_opaque = tf.stack([False, False, False, masks[3] == 0])
    return tf.cast(tf.where(is_opaque, tf.constant(255, tf.int64), parts), tf.uint8)
