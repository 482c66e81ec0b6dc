"""Checks the bytes of an image: all are decoded; all but plain JPEGs become JPEG or PNG.

What is stored shows what a viewer shows. A JPEG whose pixels are upright is kept as it is. All else
is decoded by Pillow, turned upright, laid on a white ground and stored again: PNG, BMP, GIF, TIFF,
PPM and lossless WebP without loss, as PNG, the others as JPEG of high quality. So whatever reads
prepared data sees JPEG of grey, RGB or CMYK, or PNG of 8-bit grey or RGB, and nothing else.
"""

from __future__ import annotations

import dataclasses
import io
import re
import sys
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fine2coarse import keras_settings
from fine2coarse.errors import Fine2CoarseError
from fine2coarse.preparation.digests import hash128
from fine2coarse.preparation.image_format import JPEG, PILLOW_FORMATS, image_format

TRANSCODE_QUALITY = 95
"""JPEG quality of transcoded images; without chroma subsampling, to lose as little as can be."""

BACKGROUND = (255, 255, 255)
"""What shows through transparent pixels, as in a viewer with a white page."""

MAX_PIXELS = (2**29 - 1) // 3
"""TensorFlow decodes no JPEG of 2^29 bytes or more of pixels (core/lib/jpeg/jpeg_mem.cc)."""

_MAX_PNG_SIDE = 1_000_000  # libpng's default, png_set_user_limits
_MAX_JPEG_SIDE = 65_500  # libjpeg's, JPEG_MAX_DIMENSION

_CHECK_RATIO = 8
"""JPEG is checked at an eighth of its size: every byte is read and every block decoded, but not
turned into all of its pixels, which saves a third of the time."""

EMPTY = "empty file"
NOT_AN_IMAGE = "not an image"
TRUNCATED = "truncated image"
DAMAGED = "damaged image"
TOO_LARGE = "image too large"
NOT_READ = "image format that is not read"

_LOSSY = (JPEG, "JPEG 2000", "AVIF")
_PLAIN_JPEG_MODES = ("L", "RGB", "CMYK")
_SUBSAMPLING_444 = 0
_ORIENTATION_TAG = 0x0112
_TENSORFLOW_NODE = re.compile(r"\{\{.*?\}\}")  # which operation failed, in its errors
_PNG_DEPTH_OFFSET = 24  # behind the signature, the first chunk's length and name, width and height
_WIDE_MODES = {"I;16": 8, "I;16L": 8, "I;16B": 8, "I;16N": 8}
_REFUSED_MODES = {"I": "32-bit samples", "F": "floating-point samples", "LAB": "CIELAB colours"}


@dataclasses.dataclass(frozen=True)
class CheckedImage:
    """What became of an image's bytes.

    Attributes:
      data: bytes to store, JPEG or PNG; empty where `problem` says why there are none.
      transcoded_from: 'PNG', 'JPEG, EXIF orientation 6', ... where the bytes are not the source's
        own; else empty.
      problem: why the image is skipped, one of few fixed phrases; else empty.
      detail: what else there is to say of the problem.
      digest: `content_digest` of `data`.
    """

    data: bytes = b""
    transcoded_from: str = ""
    problem: str = ""
    detail: str = ""
    digest: tuple[int, int] = (0, 0)

    @property
    def why(self) -> str:
        """Problem and detail, for people to read; empty where there is none."""
        return f"{self.problem} ({self.detail})" if self.detail else self.problem


class _Refused(Fine2CoarseError):
    """An image that is whole, but that nothing here shows as it is meant."""


def check_image(data: bytes) -> CheckedImage:
    """Decodes an image whole, and gives the bytes to store.

    Args:
      data: the file's bytes.

    Returns:
      The bytes to store, or the problem. A JPEG (grey, RGB or CMYK) without an EXIF orientation
      other than 1 stays as it is, once the decoder that training uses has taken it. Of an
      animation the first frame is stored; 16-bit samples lose their lower eight bits.
    """
    if not data:
        return CheckedImage(problem=EMPTY)
    source_format = image_format(data)
    if not source_format:
        return CheckedImage(problem=NOT_AN_IMAGE, detail=f"{len(data)} bytes")
    if source_format not in PILLOW_FORMATS:
        detail = f"{source_format}: convert it to JPEG or PNG"
        return CheckedImage(problem=NOT_READ, detail=detail)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of size, which is checked here, and of odd metadata
            return _checked(data, source_format)
    except Image.DecompressionBombError as error:
        return _too_large(_one_line(error).partition(" exceeds")[0])
    except _Refused as refused:
        return CheckedImage(problem=NOT_READ, detail=str(refused))
    # Decoders raise whatever comes to hand on damaged bytes: struct.error, KeyError, SyntaxError…
    except Exception as error:
        problem = _why_undecodable(data, source_format)
        return CheckedImage(problem=problem, detail=f"{len(data)} bytes: {_one_line(error)}")


def _checked(data: bytes, source_format: str) -> CheckedImage:
    with Image.open(io.BytesIO(data), formats=PILLOW_FORMATS[source_format]) as image:
        num_pixels = image.width * image.height
        if num_pixels > MAX_PIXELS or max(image.size) > _MAX_PNG_SIDE:
            return _too_large(f"{image.width} × {image.height} pixels")
        orientation = _orientation(image)
        if source_format == JPEG and orientation == 1 and image.mode in _PLAIN_JPEG_MODES:
            _decode_jpeg(image, data)
            return CheckedImage(data, digest=hash128(data))
        if source_format == "PNG":
            _check_png(data)
        num_frames = getattr(image, "n_frames", 1)
        is_plain = orientation == 1 and num_frames == 1 and _is_plain_png(image, data)
        image.seek(0)
        depth = data[_PNG_DEPTH_OFFSET] if source_format == "PNG" else 8
        pixels = upright_rgb(image, depth)
        if source_format == "TIFF" and pixels.tobytes() != _decoded_again(data).tobytes():
            return CheckedImage(problem=DAMAGED, detail="decodes to other pixels each time")
    if is_plain:
        _decode_png(data)
        return CheckedImage(data, digest=_digest_of(pixels))
    former = source_format
    if source_format == JPEG and orientation == 1:
        former += f", mode {image.mode}"
    if orientation != 1:
        former += f", EXIF orientation {orientation}"
    if source_format != JPEG and num_frames > 1:
        former += f", first of {num_frames} frames"
    is_lossy = source_format in _LOSSY or (source_format == "WebP" and _is_lossy_webp(data))
    is_lossy = is_lossy and max(pixels.size) <= _MAX_JPEG_SIDE
    stored = _encoded(pixels, is_lossy)
    digest = hash128(stored) if is_lossy else _digest_of(pixels)
    return CheckedImage(stored, former if stored != data else "", digest=digest)


def _decode_jpeg(image: Image.Image, data: bytes) -> None:
    """Decodes a JPEG by what will show it to models."""
    if not _is_shown_by_tensorflow():
        image.load()
        return
    import tensorflow as tf

    tf.io.decode_jpeg(data, channels=3, ratio=_CHECK_RATIO)


def _decode_png(data: bytes) -> None:
    """Decodes a PNG by TensorFlow where that will show it; Pillow has decoded it before."""
    if _is_shown_by_tensorflow():
        import tensorflow as tf

        tf.io.decode_png(data, channels=3)


def _is_shown_by_tensorflow() -> bool:
    """Whether TensorFlow decodes: on its backend, and beside JAX where prepared data is made.

    So the same images are prepared on both. What predicts on JAX alone decodes by Pillow.
    """
    on_tensorflow = keras_settings.backend() == keras_settings.TENSORFLOW
    return on_tensorflow or keras_settings.TENSORFLOW in sys.modules


def upright_rgb(image: Image.Image, depth: int = 8) -> Image.Image:
    """An image's pixels as a viewer shows them.

    Args:
      image: as Pillow opened it, of any mode.
      depth: bits of a sample in the file.

    Returns:
      The image turned upright, in RGB, on a ground of `BACKGROUND` where it is transparent.
    """
    if image.mode in _REFUSED_MODES:
        raise _Refused(f"{_REFUSED_MODES[image.mode]}: convert it to 8 bits of RGB")
    image.load()
    clear = _transparent_sample(image, depth)
    image = _turned(image)
    if image.mode in _WIDE_MODES:
        # Pillow's own conversion would clip all above 255 to white.
        samples = np.asarray(image).astype(np.uint16)
        grey = (samples >> _WIDE_MODES[image.mode]).astype(np.uint8)
        pixels = np.repeat(grey[..., None], 3, axis=2)
        if clear is not None:
            pixels[samples == clear] = BACKGROUND
        return Image.fromarray(pixels)
    if clear is not None:
        image.info["transparency"] = clear
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        return Image.alpha_composite(ground, rgba).convert("RGB")
    return image.convert("RGB")


def _turned(image: Image.Image) -> Image.Image:
    """The image upright. (A TIFF is so once Pillow has loaded it, and then says nothing of it.)"""
    return ImageOps.exif_transpose(image) if _orientation(image) != 1 else image


def _transparent_sample(image: Image.Image, depth: int) -> int | None:
    """The grey that a PNG declares transparent, as Pillow shows it; None where there is none.

    It is written in the file's own depth. Pillow scales samples of two and four bits to eight, but
    not this one.
    """
    clear = image.info.get("transparency")
    if isinstance(clear, tuple) and depth > 8:
        raise _Refused("16 bits of RGB with a transparent colour: convert it to 8 bits of RGB")
    if not isinstance(clear, int) or image.mode not in ("L", *_WIDE_MODES):
        return None
    return clear * 255 // (2**depth - 1) if depth < 8 else clear


def _decoded_again(data: bytes) -> Image.Image:
    """A second decoding: libtiff leaves pixels unset where a strip is damaged, and goes on."""
    with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
        return upright_rgb(image)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1 where there is none, or none that can be read."""
    try:
        found = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # damaged metadata, of which viewers make nothing either
        return 1
    return found if found in range(2, 9) else 1


def _check_png(data: bytes) -> None:
    """Raises where a checksum is wrong, which decoding alone does not see."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        image.verify()


def _is_plain_png(image: Image.Image, data: bytes) -> bool:
    """Whether a file is PNG of 8 bits, grey or RGB, not interlaced and without transparency."""
    return (
        image.format == "PNG"
        and data[_PNG_DEPTH_OFFSET] == 8
        and image.mode in ("L", "RGB")
        and not image.info.get("interlace")
        and not image.has_transparency_data
        and "transparency" not in image.info
    )


def _is_lossy_webp(data: bytes) -> bool:
    """Whether the first frame of a WebP is VP8, not VP8L (RFC 9649, section 2)."""
    position, end = 12, len(data)
    while position + 8 <= end:
        kind = data[position : position + 4]
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if kind in (b"VP8 ", b"VP8L"):
            return kind == b"VP8 "
        # The chunks of an animation's frame lie within it, behind 16 bytes of its own.
        position += 8 + 16 if kind == b"ANMF" else 8 + size + size % 2
    return True


def _encoded(pixels: Image.Image, is_lossy: bool) -> bytes:
    buffer = io.BytesIO()
    if is_lossy:
        pixels.save(buffer, "JPEG", quality=TRANSCODE_QUALITY, subsampling=_SUBSAMPLING_444)
    else:
        pixels.save(buffer, "PNG")
    return buffer.getvalue()


def _too_large(shape: str) -> CheckedImage:
    detail = (
        f"{shape}; at most {MAX_PIXELS} in all and {_MAX_PNG_SIDE} a side are read: make it smaller"
    )
    return CheckedImage(problem=TOO_LARGE, detail=detail)


def _why_undecodable(data: bytes, source_format: str) -> str:
    """Truncated where the format's end mark is missing, damaged otherwise."""
    end_marks = {JPEG: b"\xff\xd9", "PNG": b"IEND"}
    mark = end_marks.get(source_format)
    return TRUNCATED if mark and mark not in data[-64:] else DAMAGED


def _one_line(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "its header cannot be read"
    told = _TENSORFLOW_NODE.sub("", str(error)).partition(" [Op:")[0]
    return " ".join(told.split())[:120]


def content_digest(data: bytes) -> tuple[int, int]:
    """128 bits that say what a stored image shows, as two unsigned 64-bit integers.

    A PNG's are of its size and pixels, for one picture can be packed in many ways; of all else
    they are of the bytes.

    Args:
      data: stored bytes of an image.
    """
    if image_format(data) != "PNG":
        return hash128(data)
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        return _digest_of(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _digest_of(pixels: Image.Image) -> tuple[int, int]:
    header = f"{pixels.mode} {pixels.width} {pixels.height} ".encode()
    return hash128(header + pixels.tobytes())
