"""Encoded images to the pixels that a viewer shows, by Pillow: `decoding.py` without TensorFlow."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps

from fine2coarse.errors import UsageError
from fine2coarse.input.image_formats.limits import BACKGROUND, MAX_PIXEL_BYTES

# Pillow's name and the bytes a pixel that TensorFlow decodes, by the first bytes.
_FORMATS = (
    (0, b"\xff\xd8\xff", "JPEG", 3),
    (0, b"\x89PNG\r\n\x1a\n", "PNG", 4),
    (0, b"GIF8", "GIF", 3),
    (0, b"BM", "BMP", 4),
    (8, b"WEBP", "WEBP", 4),
)
_JPEG_SCALES = (1, 2, 4, 8)
_ORIENTATION_TAG, _FIRST_SIDEWAYS = 0x0112, 5  # 5 to 8: height and width change places
_WIDE_GREY = "I;16"


def decode_upright(image_bytes: bytes) -> np.ndarray:
    """Pixels of an encoded image as a viewer shows it, equal to those of `decoding.decode_upright`.

    Returns:
      uint8 [h, w, 3].

    Raises:
      UsageError: where the bytes are no JPEG, PNG, GIF, BMP or WebP, are damaged, or hold more
        pixels than `MAX_PIXEL_BYTES`.
    """
    return np.asarray(EncodedImage(image_bytes).upright())


class EncodedImage:
    """An encoded image, whose size is known before its pixels are decoded.

    Attributes:
      height: as a viewer shows it, in pixels.
      width: likewise.

    Raises:
      UsageError: as `decode_upright`.
    """

    def __init__(self, image_bytes: bytes) -> None:
        self._kind, bytes_a_pixel = _format_of(image_bytes)
        with self._refusing():
            image = Image.open(io.BytesIO(image_bytes), formats=(self._kind,))
            if image.width * image.height * bytes_a_pixel > MAX_PIXEL_BYTES:
                raise UsageError(
                    f"image too large: expected at most {MAX_PIXEL_BYTES} bytes of pixels at "
                    f"{bytes_a_pixel} bytes a pixel; make it smaller. It has {image.width} × "
                    f"{image.height} pixels"
                )
            if self._kind == "PNG":
                _check_sums(image_bytes)
            if self._kind != "JPEG":  # whose metadata alone stand before its pixels
                image.seek(0)
                image.load()
            self._turn = _orientation(image)
            self._image, sides = image, (image.height, image.width)
        self.height, self.width = sides[::-1] if self._turn >= _FIRST_SIDEWAYS else sides

    def upright(self, most_scale: float = 1) -> Image.Image:
        """The image as a viewer shows it, in RGB; to be called once.

        Args:
          most_scale: by how much it may shrink while it is decoded. JPEG does so to 1/2, 1/4 or
            1/8, for less than the whole costs; others do not.

        Raises:
          UsageError: where it cannot be decoded.
        """
        with self._refusing():
            scale = max((scale for scale in _JPEG_SCALES if scale <= most_scale), default=1)
            if scale > 1 and self._kind == "JPEG":
                sides = self._image.width // scale, self._image.height // scale
                self._image.draft(None, sides)
            self._image.load()
            turned = self._image if self._turn == 1 else ImageOps.exif_transpose(self._image)
            return _on_background(turned)

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of size, which is checked here; odd metadata
                yield
        except UsageError:
            raise
        except Image.DecompressionBombError as error:
            raise UsageError(f"image too large: {error}; make it smaller") from error
        # Decoders raise whatever comes to hand on damaged bytes: struct.error, SyntaxError…
        except Exception as error:
            reason = " ".join(str(error).split())[:120]
            raise UsageError(
                f"{self._kind} file that cannot be decoded ({reason}): save the image anew"
            ) from error


def _format_of(image_bytes: bytes) -> tuple[str, int]:
    for offset, magic, kind, bytes_a_pixel in _FORMATS:
        if image_bytes[offset : offset + len(magic)] == magic:
            return kind, bytes_a_pixel
    raise UsageError(
        "expected the bytes of a JPEG, PNG, GIF, BMP or WebP file, got "
        f"{len(image_bytes)} bytes that begin with {image_bytes[:12]!r}; convert the image to one "
        "of them"
    )


def _check_sums(image_bytes: bytes) -> None:
    """Raises where a checksum of a PNG is wrong, which decoding alone does not see."""
    with Image.open(io.BytesIO(image_bytes), formats=("PNG",)) as image:
        image.verify()


def _orientation(image: Image.Image) -> int:
    """By EXIF or XMP, from 1 to 8; 1 where these cannot be read."""
    try:
        found = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # damaged metadata, of which viewers make nothing either
        return 1
    return found if found in range(2, 9) else 1


def _on_background(image: Image.Image) -> Image.Image:
    """In RGB, on `BACKGROUND` where it is transparent; of 16 bits the upper 8."""
    if image.mode == _WIDE_GREY:  # of which Pillow's own conversion clips all above 255 to white
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return Image.fromarray(np.repeat(grey[..., None], 3, axis=-1))
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return image.convert("RGB")
