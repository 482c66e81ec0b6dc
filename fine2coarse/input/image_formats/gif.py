"""GIF files: the first frame on its canvas.

TensorFlow paints transparent pixels black, and cuts a frame that does not begin in the canvas's
corner. So before it decodes, the palette's transparent entry is overwritten with the background,
and the frame is moved to the corner.
"""

from __future__ import annotations

import tensorflow as tf

from fine2coarse.input.image_formats.background import BACKGROUND, of_bearable_size
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

_MAX_BLOCKS = 100_000
_EXTENSION, _IMAGE, _CONTROL = 0x21, 0x2C, 0xF9
_HAS_PALETTE = 0x80
_HEADER_BYTES, _IMAGE_HEADER_BYTES = 13, 10


def is_of_format(data: tf.Tensor) -> tf.Tensor:
    """Whether the bytes begin as a GIF file: scalar bool."""
    return piece(data, 0, 4) == b"GIF8"


@traced_once(STRING)
def decode(data: tf.Tensor) -> tf.Tensor:
    """Pixels of a GIF file's first frame, on the background where it is transparent.

    Pixels of the canvas that the frame leaves open show the background where it has a transparent
    colour, else the first colour of its palette.

    Args:
      data: scalar string.

    Returns:
      uint8 [h, w, 3].
    """
    width, height, flags = numbers(data, 6, [(0, 2), (2, 2), (4, 1)], LITTLE)
    image, control = _blocks(data, _HEADER_BYTES + _palette_bytes(flags))
    kind, left, top, frame_width, frame_height, own_flags = numbers(
        data, image, [(0, 1), (1, 2), (3, 2), (5, 2), (7, 2), (9, 1)], LITTLE
    )
    data = of_bearable_size(data, height, width, 3)
    data = checked(
        data,
        (kind == _IMAGE) & (left + frame_width <= width) & (top + frame_height <= height),
        "GIF file that cannot be decoded: expected a first frame within the canvas; save the image "
        "as PNG. Its width and height, the frame's left, top, width and height:",
        *(width, height, left, top, frame_width, frame_height),
    )
    has_own = own_flags >= _HAS_PALETTE
    palette = tf.where(has_own, image + _IMAGE_HEADER_BYTES, _HEADER_BYTES)
    palette_bytes = _palette_bytes(tf.where(has_own, own_flags, flags))
    control_flags, index = numbers(data, control, [(3, 1), (6, 1)], LITTLE)
    is_transparent = (control > 0) & (control_flags % 2 == 1)
    background = tf.constant(bytes(BACKGROUND))

    def opaque() -> tf.Tensor:
        patched = _replaced(data, control + 3, from_number(control_flags - 1, 1))
        is_color = 3 * index < palette_bytes
        new = tf.where(is_color, background, b"")
        return _replaced(patched, palette + tf.where(is_color, 3 * index, 0), new)

    readable = tf.cond(is_transparent, opaque, lambda: data)
    in_corner = _replaced(readable, image + 1, tf.constant(bytes(4)))
    pixels = tf.io.decode_image(in_corner, channels=3, expand_animations=False)
    pixels = tf.ensure_shape(pixels, [None, None, 3])
    first_color = piece(data, palette, tf.minimum(palette_bytes, 3))
    around = tf.io.decode_raw(
        tf.where(is_transparent, background, first_color), tf.uint8, fixed_length=3
    )

    def on_canvas() -> tf.Tensor:
        below, right = height - top - frame_height, width - left - frame_width
        margins = tf.stack([[top, below], [left, right], [0, 0]])
        is_inside = tf.pad(tf.ones_like(pixels, tf.bool), margins)
        return tf.where(is_inside, tf.pad(pixels, margins), around)

    fills = (frame_width == width) & (frame_height == height)
    return tf.cond(fills, lambda: pixels, on_canvas)


def _palette_bytes(flags: tf.Tensor) -> tf.Tensor:
    """Size of the palette that some flags give: int64, 0 for none."""
    size = 3 * tf.bitwise.left_shift(tf.constant(2, tf.int64), flags % 8)
    return tf.where(flags >= _HAS_PALETTE, size, 0)


def _blocks(data: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where the first frame, and the graphic control in front of it (0 for none), begin: int64."""

    def going_on(at: tf.Tensor, is_inside: tf.Tensor, control: tf.Tensor) -> tf.Tensor:
        is_extension = number(data, at, 1, LITTLE) == _EXTENSION
        return (at < num_bytes(data)) & (is_inside | is_extension)

    def step(at: tf.Tensor, is_inside: tf.Tensor, control: tf.Tensor) -> tuple[tf.Tensor, ...]:
        size, label = numbers(data, at, [(0, 1), (1, 1)], LITTLE)
        is_control = ~is_inside & (label == _CONTROL)
        return (
            tf.where(is_inside, at + 1 + size, at + 2),
            ~is_inside | (size > 0),
            tf.where(is_control, at, control),
        )

    image, _, control = tf.while_loop(
        going_on, step, [start, False, tf.zeros([], tf.int64)], maximum_iterations=_MAX_BLOCKS
    )
    return image, control


def _replaced(data: tf.Tensor, start: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    return tf.strings.join([piece(data, 0, start), new, rest(data, start + num_bytes(new))])
