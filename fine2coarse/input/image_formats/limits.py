"""What images of all formats have in common: their background and largest size."""

from __future__ import annotations

BACKGROUND = (255, 255, 255)
"""Red, green and blue behind transparent pixels."""

MAX_PIXEL_BYTES = 2**29 - 1
"""TensorFlow decodes no image of more bytes: 13,377 px squared in RGB."""
