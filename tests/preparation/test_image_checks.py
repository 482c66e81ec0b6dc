"""The check of image bytes: what is stored shows what a viewer shows, or the image is refused."""

from __future__ import annotations

import io
import pathlib
import random
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps, features

from fine2coarse.preparation import image_checks
from fine2coarse.preparation.image_checks import check_image, content_digest, image_format
from tests.datasets import fakes

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOSSLESS = ("PNG", "BMP", "GIF", "TIFF", "PPM")


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(fakes.pixels(1, (48, 40))).convert(mode)


def with_alpha() -> Image.Image:
    image = picture("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def shown(data: bytes) -> np.ndarray:
    """What a viewer with a white page shows of the first frame: int [h, w, 3]."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I;16"):
        return np.repeat((np.asarray(image).astype(int) >> 8)[..., None], 3, 2)
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"), int)


def stored(data: bytes) -> np.ndarray:
    """What training sees of it: int [h, w, 3]."""
    checked = check_image(data)
    assert not checked.problem, checked
    assert image_format(checked.data) in ("JPEG", "PNG")
    return tf.io.decode_image(checked.data, channels=3).numpy().astype(int)


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.arange(0, 65536, 32, np.uint16).reshape(32, 64))


def png(depth: int, color: int, rows: bytes, size: tuple[int, int], clear: bytes) -> bytes:
    """A PNG that Pillow does not write: with a transparent sample of its own depth."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", *size, depth, color, 0, 0, 0)
    parts = {b"IHDR": header, b"tRNS": clear, b"IDAT": zlib.compress(rows), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, parts, parts.values()))


FORMATS = {
    "JPEG, RGB": lambda: fakes.encode(picture(), "JPEG"),
    "JPEG, progressive": lambda: fakes.encode(picture(), "JPEG", progressive=True),
    "JPEG, grey": lambda: fakes.encode(picture("L"), "JPEG"),
    "JPEG, CMYK": lambda: fakes.encode(picture("CMYK"), "JPEG"),
    "JPEG, EXIF orientation 6": lambda: fakes.encode(picture(), "JPEG", exif=exif(6), quality=95),
    "MPO (several JPEGs in a file)": lambda: fakes.encode(
        picture(), "MPO", save_all=True, append_images=[picture().rotate(180)]
    ),
    "PNG, RGB": lambda: fakes.encode(picture(), "PNG"),
    "PNG, grey": lambda: fakes.encode(picture("L"), "PNG", compress_level=1),
    "PNG, palette": lambda: fakes.encode(picture().quantize(16), "PNG"),
    "PNG, palette with a transparent colour": lambda: fakes.encode(
        picture().quantize(16), "PNG", transparency=3
    ),
    "PNG, two-bit grey with a transparent grey": lambda: png(
        2, 0, bytes([0, 0b00011011]), (4, 1), b"\0\2"
    ),
    "PNG, 16-bit grey with a transparent grey": lambda: png(
        16, 0, bytes([0, 3, 232, 7, 208]), (2, 1), b"\3\xe8"
    ),
    "PNG, 16-bit RGB with a transparent colour": lambda: png(16, 2, bytes(7), (1, 1), bytes(6)),
    "PNG, one bit": lambda: fakes.encode(picture("1"), "PNG"),
    "PNG, RGB and alpha": lambda: fakes.encode(with_alpha(), "PNG"),
    "PNG, grey and alpha": lambda: fakes.encode(with_alpha().convert("LA"), "PNG"),
    "PNG, 16-bit grey": lambda: fakes.encode(sixteen_bits(), "PNG"),
    "PNG, EXIF orientation 8": lambda: fakes.encode(picture(), "PNG", exif=exif(8)),
    "PNG, animated": lambda: fakes.encode(
        picture(), "PNG", save_all=True, append_images=[picture().rotate(180)]
    ),
    "BMP": lambda: fakes.encode(picture(), "BMP"),
    "GIF": lambda: fakes.encode(picture(), "GIF"),
    "GIF, animated": lambda: fakes.encode(
        picture(), "GIF", save_all=True, append_images=[picture().rotate(180)]
    ),
    "TIFF, RGB": lambda: fakes.encode(picture(), "TIFF"),
    "TIFF, 16-bit grey": lambda: fakes.encode(sixteen_bits(), "TIFF"),
    "TIFF, orientation 6": lambda: fakes.encode(picture(), "TIFF", tiffinfo={0x0112: 6}),
    "TIFF, CMYK": lambda: fakes.encode(picture("CMYK"), "TIFF"),
    "TIFF, several pages": lambda: fakes.encode(
        picture(), "TIFF", save_all=True, append_images=[picture().rotate(180)]
    ),
    "TIFF, floating point": lambda: fakes.encode(
        Image.fromarray(np.ones((20, 30), np.float32)), "TIFF"
    ),
    "WebP, lossless": lambda: fakes.encode(picture(), "WEBP", lossless=True),
    "WebP, lossy": lambda: fakes.encode(picture(), "WEBP", quality=95),
    "WebP, lossy with alpha": lambda: fakes.encode(with_alpha(), "WEBP", quality=95),
    "WebP, animated": lambda: fakes.encode(
        picture(), "WEBP", quality=95, save_all=True, append_images=[picture().rotate(180)]
    ),
    "AVIF": lambda: fakes.encode(picture(), "AVIF", quality=95),
    "JPEG 2000": lambda: fakes.encode(picture(), "JPEG2000"),
    "PPM": lambda: fakes.encode(picture(), "PPM"),
    "HEIC": lambda: b"\x00\x00\x00\x18ftypheic" + bytes(100),
    "JPEG XL": lambda: b"\xff\x0a" + bytes(100),
    "Photoshop": lambda: b"8BPS" + bytes(100),
}
REFUSED = ("TIFF, floating point", "PNG, 16-bit RGB with a transparent colour", "HEIC", "JPEG XL")
READ = [name for name in FORMATS if name not in (*REFUSED, "Photoshop")]
# Pillow itself does not see what is transparent here; these have a test of their own.
OF_THEIR_OWN_DEPTH = ("PNG, two-bit grey with", "PNG, 16-bit grey with")


def skip_where_pillow_cannot(name: str) -> None:
    if name == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")


@pytest.mark.parametrize("name", [n for n in READ if not n.startswith(OF_THEIR_OWN_DEPTH)])
def test_what_is_stored_shows_what_a_viewer_shows(name):
    skip_where_pillow_cannot(name)
    data = FORMATS[name]()
    got, want = stored(data), shown(data)
    assert got.shape == want.shape
    is_exact = check_image(data).data.startswith(b"\x89PNG")
    assert np.abs(got - want).mean() <= (0 if is_exact else 2)
    assert is_exact == (name.startswith(LOSSLESS) or name == "WebP, lossless")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_upright(orientation):
    """A picture whose four quarters differ, however it was turned when it was stored."""
    quarters = np.kron([[0, 80], [160, 240]], np.ones((16, 24)))
    image = Image.fromarray(quarters.astype(np.uint8)).convert("RGB")
    data = fakes.encode(image, "JPEG", exif=exif(orientation), quality=95)
    got = stored(data)
    height, width, _ = got.shape
    rows, columns = (height // 4, 3 * height // 4), (width // 4, 3 * width // 4)
    want = shown(data)
    for row in rows:
        for column in columns:
            assert abs(got[row, column, 0] - want[row, column, 0]) < 4


def test_a_transparent_grey_of_another_depth_is_white():
    two_bits = stored(FORMATS["PNG, two-bit grey with a transparent grey"]())
    assert two_bits[0, :, 0].tolist() == [0, 85, 255, 255]
    sixteen = stored(FORMATS["PNG, 16-bit grey with a transparent grey"]())
    assert sixteen[0, :, 0].tolist() == [255, 2000 >> 8]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_once(orientation):
    data = fakes.encode(picture(), "TIFF", tiffinfo={0x0112: orientation})
    np.testing.assert_array_equal(stored(data), shown(data))


def test_pixels_that_differ_from_one_decoding_to_the_next_are_damage(monkeypatch):
    """libtiff goes on after a damaged strip, and leaves what was in memory."""
    again = Image.new("RGB", (48, 40))
    monkeypatch.setattr(image_checks, "_decoded_again", lambda data: again)
    checked = check_image(FORMATS["TIFF, RGB"]())
    assert checked.problem == "damaged image"
    assert checked.detail == "decodes to other pixels each time"


def test_a_plain_jpeg_stays_as_it_is():
    for name in ("JPEG, RGB", "JPEG, progressive", "JPEG, grey", "JPEG, CMYK"):
        data = FORMATS[name]()
        checked = check_image(data)
        assert (checked.data, checked.transcoded_from) == (data, "")
        assert checked.digest == content_digest(data)


@pytest.mark.parametrize(
    ("name", "former"),
    [
        ("PNG, RGB", ""),
        ("PNG, grey", ""),
        ("PNG, palette", "PNG"),
        ("JPEG, EXIF orientation 6", "JPEG, EXIF orientation 6"),
        ("GIF, animated", "GIF, first of 2 frames"),
        ("WebP, animated", "WebP, first of 2 frames"),
    ],
)
def test_what_was_stored_anew_is_told(name, former):
    assert check_image(FORMATS[name]()).transcoded_from == former


def test_one_picture_has_one_digest_however_a_png_packs_it():
    one = check_image(fakes.encode(picture(), "PNG", compress_level=1))
    other = check_image(fakes.encode(picture(), "PNG", compress_level=9))
    assert (one.transcoded_from, other.transcoded_from) == ("", "")
    bmp = check_image(fakes.encode(picture(), "BMP"))
    assert one.digest == other.digest == bmp.digest == content_digest(one.data)
    assert check_image(fakes.encode(picture().rotate(180), "PNG")).digest != one.digest


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty file"),
        (b"<html>", "not an image"),
        (b"\xff\xd8\xff\xe0" + b"x" * 100, "truncated image"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 100, "truncated image"),
        (b"GIF89a" + b"x" * 100, "damaged image"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(100), "image format that is not read"),
        (b"\xff\x0a" + bytes(100), "image format that is not read"),
    ],
)
def test_problems(data, problem):
    checked = check_image(data)
    assert (checked.problem, checked.data, checked.digest) == (problem, b"", (0, 0))


def test_the_detail_says_what_to_do():
    floats = check_image(FORMATS["TIFF, floating point"]())
    assert floats.problem == "image format that is not read"
    assert "convert it to 8 bits" in floats.detail
    assert "HEIC: convert it to JPEG or PNG" in check_image(FORMATS["HEIC"]()).detail


def test_what_no_reader_takes_for_its_size_is_refused(monkeypatch):
    """The header of a JPEG of 16320 × 12240 pixels is enough: 2^29 bytes and more when decoded."""
    data = bytearray(fakes.encode(picture(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = (12240).to_bytes(2, "big") + (16320).to_bytes(2, "big")
    assert check_image(bytes(data)).problem == "image too large"
    monkeypatch.setattr(image_checks, "MAX_PIXELS", 48 * 40)
    assert not check_image(fakes.encode(picture(), "PNG")).problem
    monkeypatch.setattr(image_checks, "MAX_PIXELS", 48 * 40 - 1)
    checked = check_image(fakes.encode(picture(), "PNG"))
    assert (checked.problem, checked.detail) == (
        "image too large",
        "48 × 40 pixels; at most 1919 in all and 1000000 a side are read: make it smaller",
    )


def test_a_strip_too_long_for_png_is_refused():
    assert check_image(fakes.encode(Image.new("1", (1, 1_000_001)), "TIFF")).problem == (
        "image too large"
    )
    strip = check_image(fakes.encode(Image.new("1", (1, 999_999)), "TIFF"))
    assert tf.io.decode_image(strip.data).shape == (999_999, 1, 3)


def test_every_truncation_is_found():
    data = fakes.jpeg(4)
    for length in range(3, len(data) - 1, 7):
        checked = check_image(data[:length])
        assert checked.problem == "truncated image", length
        assert "{{" not in checked.detail and "device" not in checked.detail


def test_a_wrong_checksum_in_a_png_is_found():
    data = bytearray(fakes.encode(picture(), "PNG"))
    data[-20] ^= 1  # within the last pixels' data or its checksum
    assert check_image(bytes(data)).problem == "damaged image"


def test_the_check_says_what_the_decoders_of_training_say():
    """At an eighth of the size it finds what a whole decoding or a fused crop would find."""
    spoil = random.Random(0)
    verdicts = set()
    for _ in range(200):
        data = fakes.spoilt(fakes.jpeg(spoil.randrange(5)), spoil)
        if image_format(data) != "JPEG":
            continue
        checked = check_image(data)
        if checked.data == data:
            height, width, _ = tf.io.decode_jpeg(data, channels=3).shape
            tf.image.decode_and_crop_jpeg(data, [0, 0, height, width], channels=3)
        verdicts.add(bool(checked.problem))
    assert verdicts == {True, False}


FUZZED = [
    "JPEG, RGB", "JPEG, EXIF orientation 6", "PNG, palette", "PNG, 16-bit grey", "GIF, animated",
    "BMP", "TIFF, RGB", "WebP, lossless", "WebP, animated", "AVIF", "JPEG 2000", "PPM",
]  # fmt: skip


@pytest.mark.parametrize("name", FUZZED)
def test_mutated_files_are_refused_or_readable(name):
    """Whatever a check passes, training's decoder takes, at the same size."""
    skip_where_pillow_cannot(name)
    whole, spoil = FORMATS[name](), random.Random(name)
    outcomes = set()
    for _ in range(3000):
        checked = check_image(fakes.spoilt(whole, spoil))
        assert bool(checked.data) != bool(checked.problem)
        outcomes.add(checked.problem)
        if checked.data:
            tf.io.decode_image(checked.data, channels=3)
    assert len(outcomes) > 1


@pytest.mark.stress
@pytest.mark.parametrize("name", FUZZED)
def test_thousands_of_mutated_files(name):
    skip_where_pillow_cannot(name)
    whole, spoil = FORMATS[name](), random.Random(f"more {name}")
    for _ in range(50_000):
        checked = check_image(fakes.spoilt(whole, spoil))
        if checked.data:
            tf.io.decode_image(checked.data, channels=3)


def test_the_table_in_the_docs_is_what_happens():
    """docs/datasets.md, "What becomes of an image file": a row for each file above, in order."""
    rows = ["| file | stored as | what changes |", "| --- | --- | --- |"]
    for name, make in FORMATS.items():
        skip_where_pillow_cannot(name)
        data = make()
        checked = check_image(data)
        if checked.problem:
            rows.append(f"| {name} | refused | `{checked.problem}` |")
            continue
        kind = "the same bytes" if checked.data == data else image_format(checked.data)
        rows.append(f"| {name} | {kind} | {what_changes(data)} |")
    table = "\n".join(rows)
    assert table in (ROOT / "docs/datasets.md").read_text(encoding="utf-8"), table


def what_changes(data: bytes) -> str:
    """In words: what the file has that is not stored, as far as it can be seen."""
    image = Image.open(io.BytesIO(data))
    checked = check_image(data)
    told = []
    if image.getexif().get(0x0112, 1) != 1:
        told.append("turned upright")
    if getattr(image, "n_frames", 1) > 1:
        told.append("first frame alone")
    if image.mode.startswith("I;16"):
        told.append("the upper 8 bits")
    if image.has_transparency_data:
        told.append("on white")
    if checked.data != data and image_format(checked.data) == "JPEG":
        told.append("quality 95, 4:4:4")
    return ", ".join(told) or "nothing"
