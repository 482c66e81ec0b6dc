"""Pillow decodes what TensorFlow's operations decode, to the same pixels, and refuses the rest."""

from __future__ import annotations

import numpy as np
import pytest

from fine2coarse.errors import UsageError
from fine2coarse.input.pillow_decoding import EncodedImage, decode_upright
from tests.input import image_files
from tests.input.test_decoding import decoded, patched, too_large

FILES = image_files.every_kind()


@pytest.mark.parametrize("name", FILES)
def test_pixels_are_those_of_tensorflows_operations(name):
    image, expected = EncodedImage(FILES[name]), decoded(FILES[name])
    assert (image.height, image.width) == expected.shape[:2]
    pixels = decode_upright(FILES[name])
    assert pixels.dtype == np.uint8 and pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= 1


@pytest.mark.parametrize("name", too_large())
def test_images_too_large_are_refused_before_they_are_decoded(name):
    with pytest.raises(UsageError, match=r"too large|cannot be decoded"):
        decode_upright(too_large()[name])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected the bytes of a JPEG, PNG, GIF, BMP or WebP file, got 0 bytes"),
        (b"II*\0 a TIFF file", "convert the image"),
        (b"BM" + bytes(100), "BMP file that cannot be decoded"),
        (image_files.bmp(8)[:-4], "BMP file that cannot be decoded"),
        (b"GIF89a" + bytes(20), "GIF file that cannot be decoded"),
    ],
)
def test_what_cannot_be_shown_is_refused(data, message):
    with pytest.raises(UsageError, match=message):
        decode_upright(data)


@pytest.mark.parametrize(
    "name", [name for name in FILES if "EXIF" not in name and "animated" not in name]
)
def test_half_a_file_is_refused(name):
    with pytest.raises(UsageError):
        decode_upright(FILES[name][: len(FILES[name]) // 2])


def test_a_wrong_checksum_is_refused():
    png = FILES["PNG RGB"]
    end = png.rindex(b"IEND") - 8  # the checksum of what stands before
    with pytest.raises(UsageError, match="PNG file that cannot be decoded"):
        decode_upright(patched(png, end, b"\0\0\0\0"))


def test_jpeg_shrinks_while_it_is_decoded():
    whole = image_files.encoded(image_files.picture().resize((96, 64)), "JPEG", quality=95)
    assert EncodedImage(whole).upright(most_scale=3.9).size == (48, 32)
    assert EncodedImage(whole).upright().size == (96, 64)
    assert EncodedImage(FILES["PNG RGB"]).upright(most_scale=8).size == (48, 32)
