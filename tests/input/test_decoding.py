"""Encoded images are decoded as a viewer shows them, or refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from fine2coarse.input.augmentation import eval_image, train_image
from fine2coarse.input.decoding import (
    BACKGROUND,
    MAX_PIXEL_BYTES,
    decode_upright,
    is_plain_jpeg,
)
from fine2coarse.input.examples import Examples, load_examples
from fine2coarse.input.thumbnails import jpeg_thumbnails
from fine2coarse.preparation import image_checks
from fine2coarse.recipes.phase_spec import AugmentSpec
from tests.input import image_files

FILES = image_files.every_kind()
_decode = tf.function(decode_upright, input_signature=[tf.TensorSpec([], tf.string)])


def decoded(data: bytes) -> np.ndarray:
    return _decode(tf.constant(data)).numpy().astype(int)


@pytest.mark.parametrize("name", FILES)
def test_pixels_are_those_that_pillow_shows(name):
    pixels, expected = decoded(FILES[name]), image_files.shown(FILES[name])
    assert pixels.shape == expected.shape
    # Alpha is rounded the other way at times; all else is the same to the bit.
    assert np.abs(pixels - expected).max() <= 1


def test_the_background_is_white_here_and_where_images_are_prepared():
    clear = image_files.Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert BACKGROUND == image_checks.BACKGROUND == image_files.WHITE
    assert decoded(image_files.encoded(clear, "PNG")).tolist() == [[[255] * 3] * 2] * 2


def test_a_frame_that_leaves_pixels_open():
    first, second, third = [10, 20, 30], [40, 50, 60], [70, 80, 90]
    inner = [[second, third], [third, second]]
    assert decoded(image_files.gif_of_a_part(False)).tolist() == [
        [first] * 4, [first, *inner[0], first], [first, *inner[1], first],
    ]  # fmt: skip
    pixels = decoded(image_files.gif_of_a_part(True))
    assert pixels[0].tolist() == [[255] * 3] * 4
    assert pixels[1:, 1:3].tolist() == [[[255] * 3, third], [third, [255] * 3]]


def test_pixels_of_a_bmp_palette():
    data = bytearray(image_files.bmp(8))
    start = struct.unpack_from("<I", data, 10)[0]
    data[start] = 2  # the lowest row's first pixel; the palette's third colour is 45, 82, 119
    blue, green, red, _ = (np.arange(8, 12) * 37 % 251).tolist()
    assert decoded(bytes(data))[-1, 0].tolist() == [red, green, blue]


def test_exif_behind_the_tables_counts():
    jpeg = image_files.encoded(image_files.picture(), "JPEG", exif=image_files.exif(6))
    start = jpeg.index(b"\xff\xe1")
    end = start + 2 + struct.unpack_from(">H", jpeg, start + 2)[0]
    scan = jpeg.index(b"\xff\xda")
    moved = jpeg[:start] + jpeg[end:scan] + b"\xff\xff" + jpeg[start:end] + jpeg[scan:]
    assert decoded(moved).shape == (48, 32, 3)
    np.testing.assert_array_equal(decoded(moved), decoded(jpeg))


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")  # of what is damaged
def test_the_last_of_two_orientations_counts_and_damaged_ones_do_not():
    def with_entries(*entries: bytes, count: int | None = None) -> bytes:
        tiff = b"MM\0*\0\0\0\x08" + struct.pack(">H", count or len(entries)) + b"".join(entries)
        return image_files.encoded(image_files.picture(), "JPEG", exif=b"Exif\0\0" + tiff)

    def entry(value: int, kind: int = 3, number: int = 1) -> bytes:
        return struct.pack(">HHIHH", 0x0112, kind, number, value, 0)

    for entries, count, shape in (
        ((entry(6), entry(3)), None, (32, 48, 3)),
        ((entry(3), entry(6)), None, (48, 32, 3)),
        ((entry(6), entry(3)), 1, (48, 32, 3)),  # the second lies behind the directory
        ((entry(6),), 999, (48, 32, 3)),
        ((entry(6, number=2),), None, (48, 32, 3)),
        ((entry(6, number=3),), None, (32, 48, 3)),
        ((entry(6, kind=2),), None, (32, 48, 3)),
        ((entry(6)[:11],), 1, (32, 48, 3)),
    ):
        data = with_entries(*entries, count=count)
        assert decoded(data).shape == shape == image_files.shown(data).shape


PLAIN = {"JPEG RGB", "JPEG RGB progressive", "JPEG L", "JPEG L progressive", "JPEG 4:4:4",
         "JPEG stored as RGB", *(f"JPEG EXIF {turn} {order}" for turn in (0, 1, 9)
                                 for order in ("little", "big"))}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith(("JPEG", "PNG RGB"))])
def test_only_plain_jpeg_is_cropped_while_it_is_decoded(name):
    assert bool(is_plain_jpeg(tf.constant(FILES[name]))) == (name in PLAIN)


@pytest.mark.parametrize("turn", range(1, 9))
def test_views_of_a_turned_photograph_are_those_of_the_upright_one(turn):
    image = image_files.picture().resize((96, 64))
    turned = image_files.encoded(image, "JPEG", quality=95, exif=image_files.exif(turn))
    upright = tf.constant(image_files.shown(turned), tf.uint8)
    np.testing.assert_array_equal(eval_image(tf.constant(turned), 16), eval_image(upright, 16))
    for number in range(3):
        seed = tf.constant([number, 3], tf.int64)
        for crop in ("inception", "shift", "none"):
            augment = AugmentSpec(crop=crop)
            ours = train_image(tf.constant(turned), seed, 16, augment).numpy()
            theirs = train_image(upright, seed, 16, augment).numpy()
            assert np.abs(ours - theirs).mean() < (0.03 if turn == 1 else 1e-6)


def test_splits_in_memory_and_thumbnails_are_upright():
    turned = image_files.encoded(
        image_files.picture(), "JPEG", quality=95, exif=image_files.exif(6)
    )
    rows = [{"image": turned, "image_id": name, "label": 0} for name in ("a", "b")]
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    examples = load_examples(tf.data.Dataset.from_tensor_slices(columns))
    np.testing.assert_array_equal(examples.images[1], image_files.shown(turned))
    encoded = Examples(tf.constant([turned]), ("a",), np.zeros(1, np.int64))
    thumbnail = jpeg_thumbnails(encoded, ["a"])["a"]
    assert np.abs(decoded(thumbnail) - image_files.shown(turned)).mean() < 2


def test_decoding_stays_parallel_under_deterministic_operations():
    """There `tf.data` maps one element at a time where it meets a stateful operation but these."""
    harmless = {"Assert", "If", "StatefulPartitionedCall"}

    def views(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        seed = tf.constant([1, 2], tf.int64)
        return eval_image(data, 16), train_image(data, seed, 16, AugmentSpec())

    function = tf.function(views).get_concrete_function(tf.TensorSpec([], tf.string))
    library = function.graph.as_graph_def().library.function
    ops = {node.op for called in library for node in called.node_def}
    assert "DecodeJpeg" in ops
    stateful = {op for op in ops if (found := op_def_registry.get(op)) and found.is_stateful}
    assert stateful <= harmless


def patched(data: bytes, position: int, new: bytes) -> bytes:
    return data[:position] + new + data[position + len(new) :]


def test_what_is_prepared_is_not_too_large_to_be_read():
    assert image_checks.MAX_PIXELS * 3 <= MAX_PIXEL_BYTES


def too_large() -> dict[str, bytes]:
    """Files whose headers tell of 2^29 bytes of pixels or more."""
    jpeg, lossy = FILES["JPEG RGB"], FILES["WebP RGB lossy"]
    size = struct.pack("<H", 16_000)
    return {
        "JPEG": patched(jpeg, jpeg.index(b"\xff\xc0") + 5, struct.pack(">HH", 12240, 16320)),
        "PNG": patched(FILES["PNG RGB"], 16, struct.pack(">II", 2**31 - 1, 2**31 - 1)),
        "GIF": patched(FILES["GIF RGB"], 6, struct.pack("<HH", 65535, 65535)),
        "BMP": patched(FILES["BMP RGB"], 18, struct.pack("<ii", 2**31 - 1, 2**31 - 1)),
        "WebP": patched(lossy, 26, size + size),
        "WebP canvas": patched(FILES["WebP RGBA lossy, animated"], 24, b"\xff\xff\xff" * 2),
    }


@pytest.mark.parametrize("name", too_large())
def test_images_too_large_are_refused_before_they_are_decoded(name):
    with pytest.raises(tf.errors.InvalidArgumentError, match="image too large"):
        decoded(too_large()[name])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected the bytes of a JPEG, PNG, GIF, BMP or WebP file"),
        (b"II*\0 a TIFF file", "convert the image"),
        (b"BM" + bytes(100), "BMP file that cannot be decoded"),
        (patched(image_files.bmp(8), 30, b"\1"), "no compression"),
        (image_files.bmp(8)[:-1], "truncated BMP file"),
        (b"GIF89a" + bytes(20), "GIF file that cannot be decoded"),
        (patched(image_files.gif_of_a_part(False), 34, b"\3"), "first frame within the canvas"),
    ],
)
def test_what_cannot_be_shown_is_refused(data, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decoded(data)


@pytest.mark.parametrize(
    "name", [name for name in FILES if "EXIF" not in name and "animated" not in name]
)
def test_half_a_file_is_refused(name):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decoded(FILES[name][: len(FILES[name]) // 2])
