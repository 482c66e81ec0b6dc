"""The check of image bytes."""

from __future__ import annotations

import random

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fine2coarse.datasets.images import check_image, image_format
from tests.datasets import fakes


def picture() -> Image.Image:
    return Image.fromarray(fakes.pixels(1, (48, 40)))


@pytest.mark.parametrize("image_format_name", ["PNG", "WEBP", "GIF", "BMP"])
def test_what_is_not_jpeg_becomes_jpeg(image_format_name):
    checked = check_image(fakes.encode(picture(), image_format_name))
    assert checked.transcoded_from.upper() == image_format_name
    decoded = tf.image.decode_and_crop_jpeg(checked.data, [0, 0, 40, 48], channels=3).numpy()
    tolerance = 12 if image_format_name == "GIF" else 5  # GIF has 256 colours
    assert np.abs(decoded.astype(int) - np.asarray(picture())).mean() < tolerance


def test_jpeg_stays_as_it_is():
    for data in (
        fakes.encode(picture(), "JPEG"),
        fakes.encode(picture(), "JPEG", progressive=True),
        fakes.encode(picture().convert("L"), "JPEG"),
        fakes.encode(picture().convert("CMYK"), "JPEG"),
    ):
        assert check_image(data).data == data


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty file"),
        (b"<html>", "not an image"),
        (b"\xff\xd8\xff\xe0" + b"x" * 100, "truncated image"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 100, "truncated image"),
        (b"GIF89a" + b"x" * 100, "damaged image"),
    ],
)
def test_problems(data, problem):
    checked = check_image(data)
    assert (checked.problem, checked.data) == (problem, b"")


def test_every_truncation_is_found():
    data = fakes.jpeg(4)
    for length in range(3, len(data) - 1, 7):
        assert check_image(data[:length]).problem == "truncated image", length


def test_the_check_says_what_the_decoders_of_training_say():
    """At an eighth of the size it finds what a whole decoding or a fused crop would find."""
    spoil = random.Random(0)
    verdicts = set()
    for _ in range(200):
        data = bytearray(fakes.jpeg(spoil.randrange(5)))
        for _ in range(spoil.randrange(1, 6)):
            data[spoil.randrange(3, len(data))] ^= 1 << spoil.randrange(8)
        data = bytes(data)
        if image_format(data) != "JPEG":
            continue
        is_whole = decodes(lambda data=data: tf.io.decode_jpeg(data, channels=3))
        assert (not check_image(data).problem) == is_whole
        if is_whole:
            height, width, _ = tf.io.extract_jpeg_shape(data).numpy()
            window = [0, 0, height, width]
            tf.image.decode_and_crop_jpeg(data, window, channels=3)
        verdicts.add(is_whole)
    assert verdicts == {True, False}


def decodes(decode) -> bool:
    try:
        decode()
    except tf.errors.InvalidArgumentError:
        return False
    return True
