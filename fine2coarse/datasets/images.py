"""Checks the bytes of an image: every one is decoded, what is not JPEG becomes JPEG."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

TRANSCODE_QUALITY = 95
"""JPEG quality of transcoded images; without chroma subsampling, to lose as little as can be."""

_CHECK_RATIO = 8
"""JPEG is checked at an eighth of its size: every byte is read and every block decoded, but not
turned into all of its pixels, which saves a third of the time."""

EMPTY = "empty file"
NOT_AN_IMAGE = "not an image"
TRUNCATED = "truncated image"
DAMAGED = "damaged image"


@dataclasses.dataclass(frozen=True)
class CheckedImage:
    """What became of an image's bytes.

    Attributes:
      data: JPEG bytes to store, untouched where the source was JPEG; empty where `problem` says
        why there are none.
      transcoded_from: 'PNG', 'WebP', ... where the source was no JPEG, else empty.
      problem: why the image is skipped, else empty.
    """

    data: bytes = b""
    transcoded_from: str = ""
    problem: str = ""


def _decode_png(data: bytes) -> tf.Tensor:
    return tf.io.decode_png(data, channels=3)  # of 16 bits it keeps the upper eight


def _decode_webp(data: bytes) -> tf.Tensor:
    frames = tf.io.decode_webp(data, channels=0)  # [frames, height, width, 3 or 4]
    return frames[0, :, :, :3]


def _decode_first_frame(data: bytes) -> tf.Tensor:
    return tf.io.decode_image(data, channels=3, expand_animations=False)


_DECODERS: dict[str, Callable[[bytes], tf.Tensor]] = {
    "PNG": _decode_png,
    "WebP": _decode_webp,
    "GIF": _decode_first_frame,
    "BMP": _decode_first_frame,
}


def image_format(data: bytes) -> str:
    """'JPEG', 'PNG', 'WebP', 'GIF' or 'BMP' by the first bytes, whatever the name; else empty."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    return "BMP" if data.startswith(b"BM") else ""


def check_image(data: bytes) -> CheckedImage:
    """Decodes an image with the decoder that training uses; transcodes what is not JPEG.

    Args:
      data: the file's bytes.

    Returns:
      The bytes to store, or the problem. JPEG of any colour space (grey, CMYK) stays as it is.
    """
    if not data:
        return CheckedImage(problem=EMPTY)
    source_format = image_format(data)
    if not source_format:
        return CheckedImage(problem=NOT_AN_IMAGE)
    try:
        if source_format == "JPEG":
            tf.io.decode_jpeg(data, channels=3, ratio=_CHECK_RATIO)
            return CheckedImage(data=data)
        pixels = _DECODERS[source_format](data)
        encoded = tf.io.encode_jpeg(pixels, quality=TRANSCODE_QUALITY, chroma_downsampling=False)
    except tf.errors.InvalidArgumentError:
        return CheckedImage(problem=_why_undecodable(data, source_format))
    return CheckedImage(data=encoded.numpy(), transcoded_from=source_format)


def _why_undecodable(data: bytes, source_format: str) -> str:
    """Truncated where the format's end mark is missing, damaged otherwise."""
    end_marks = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
    mark = end_marks.get(source_format)
    return TRUNCATED if mark and mark not in data[-64:] else DAMAGED
