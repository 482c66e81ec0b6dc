"""WebP files: the first frame on its canvas, and metadata.

Of an animation TensorFlow gives another frame, or ends the process. So the first frame is made a
still image of its own before it decodes.
"""

from __future__ import annotations

import tensorflow as tf

from fine2coarse.input.image_formats.background import of_bearable_size, on_background
from fine2coarse.input.image_formats.byte_strings import (
    LITTLE,
    STRING,
    checked,
    from_number,
    num_bytes,
    number,
    numbers,
    piece,
    rest,
    traced_once,
)
from fine2coarse.input.image_formats.orientation import orientation, upright

_MAX_CHUNKS = 100_000
_FIRST_CHUNK = 12
_IS_ANIMATED, _HAS_XMP, _HAS_EXIF, _HAS_ALPHA = 0x02, 0x04, 0x08, 0x10
_FRAME_HEADER_BYTES = 16
_ALPHA_HEADER = b"VP8X\x0a\x00\x00\x00" + bytes([_HAS_ALPHA, 0, 0, 0])


def is_of_format(data: tf.Tensor) -> tf.Tensor:
    """Whether the bytes begin as a WebP file: scalar bool."""
    return (piece(data, 0, 4) == b"RIFF") & (piece(data, 8, 4) == b"WEBP")


@traced_once(STRING)
def decode(data: tf.Tensor) -> tf.Tensor:
    """Upright pixels of a WebP file's first frame: uint8 [h, w, 3].

    Args:
      data: scalar string.
    """
    is_extended = piece(data, _FIRST_CHUNK, 4) == b"VP8X"
    flags = tf.where(is_extended, number(data, 20, 1, LITTLE), 0)

    def metadata(flag: int, kind: bytes) -> tf.Tensor:
        return tf.cond(_has(flags, flag), lambda: _chunk(data, kind), lambda: tf.constant(b""))

    is_animated = _has(flags, _IS_ANIMATED)
    still = tf.cond(is_animated, lambda: _first_frame(data), lambda: data)
    pixels = _decode_still(still)
    pixels = tf.cond(is_animated, lambda: _on_canvas(pixels, data, flags), lambda: pixels)
    turn = orientation(metadata(_HAS_EXIF, b"EXIF"), metadata(_HAS_XMP, b"XMP "))
    return upright(on_background(pixels), turn)


def _has(flags: tf.Tensor, flag: int) -> tf.Tensor:
    return tf.bitwise.bitwise_and(flags, flag) > 0


def _first_frame(data: tf.Tensor) -> tf.Tensor:
    """The first frame as a file of its own: scalar string."""
    frame = _chunk(data, b"ANMF")
    body = rest(frame, _FRAME_HEADER_BYTES)
    # A lossy frame with alpha is two chunks, which need a header with width and height.
    header = tf.strings.join([_ALPHA_HEADER, piece(frame, 6, 6)])
    needs_header = piece(body, 0, 4) == b"ALPH"
    body = tf.strings.join([tf.where(needs_header, header, b""), body])
    return tf.strings.join([b"RIFF", from_number(num_bytes(body) + 4, 4), b"WEBP", body])


def _on_canvas(pixels: tf.Tensor, data: tf.Tensor, flags: tf.Tensor) -> tf.Tensor:
    """The first frame's pixels [h, w, 4] on the canvas: uint8 [H, W, 4]."""
    width, height = (side + 1 for side in numbers(data, 24, [(0, 3), (3, 3)], LITTLE))
    left, top = (2 * half for half in numbers(_chunk(data, b"ANMF"), 0, [(0, 3), (3, 3)], LITTLE))
    frame_height, frame_width, _ = tf.unstack(tf.shape(pixels, tf.int64))
    below, right = height - top - frame_height, width - left - frame_width
    pixels = of_bearable_size(pixels, height, width, 4)
    pixels = checked(
        pixels,
        (below >= 0) & (right >= 0),
        "animated WebP file that cannot be decoded: expected a first frame within the canvas; save "
        "the image as PNG. Its width and height, the frame's left, top, width and height:",
        *(width, height, left, top, frame_width, frame_height),
    )
    pixels = tf.pad(pixels, tf.stack([[top, below], [left, right], [0, 0]]))
    # Without the canvas's flag, alpha does not count, and what no frame covers is black.
    return tf.cond(_has(flags, _HAS_ALPHA), lambda: pixels, lambda: _opaque(pixels))


def _decode_still(data: tf.Tensor) -> tf.Tensor:
    """Pixels of a file without animation: uint8 [h, w, 4]."""
    data = of_bearable_size(data, *_still_size(data), 4)
    pixels = tf.ensure_shape(tf.io.decode_webp(data, channels=0)[0], [None, None, None])
    return tf.cond(tf.shape(pixels)[2] == 4, lambda: pixels, lambda: _opaque(pixels))


def _still_size(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width by the header: int64."""
    kind = piece(data, _FIRST_CHUNK, 4)
    extended_width, extended_height, packed, lossy_width, lossy_height = numbers(
        data, 21, [(3, 3), (6, 3), (0, 4), (5, 2), (7, 2)], LITTLE
    )
    is_extended, is_lossless, limit = kind == b"VP8X", kind == b"VP8L", 1 << 14

    def side(extended: tf.Tensor, lossless: tf.Tensor, lossy: tf.Tensor) -> tf.Tensor:
        return tf.where(is_extended, extended + 1, tf.where(is_lossless, lossless + 1, lossy))

    height = side(extended_height, packed // limit % limit, lossy_height % limit)
    return height, side(extended_width, packed % limit, lossy_width % limit)


def _opaque(pixels: tf.Tensor) -> tf.Tensor:
    """Pixels [h, w, 3 or 4] without transparency: uint8 [h, w, 4]."""
    return tf.pad(pixels[:, :, :3], [[0, 0], [0, 0], [0, 1]], constant_values=255)


@traced_once(STRING, STRING)
def _chunk(data: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """Content of the first chunk of a kind: scalar string, empty where there is none."""

    def going_on(at: tf.Tensor) -> tf.Tensor:
        return (at < num_bytes(data)) & (piece(data, at, 4) != kind)

    def step(at: tf.Tensor) -> tuple[tf.Tensor]:
        size = number(data, at + 4, 4, LITTLE)
        return (at + 8 + size + size % 2,)

    start = tf.constant(_FIRST_CHUNK, tf.int64)
    (at,) = tf.while_loop(going_on, step, [start], maximum_iterations=_MAX_CHUNKS)
    return piece(data, at + 8, number(data, at + 4, 4, LITTLE))
