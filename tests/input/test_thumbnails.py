"""Thumbnails: of the images asked for, no larger than asked, none enlarged."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.input.examples import Examples
from fine2coarse.input.thumbnails import jpeg_thumbnails
from fine2coarse.packs.images import PackedImages


def decoded_shape(content: bytes) -> tuple[int, ...]:
    assert content.startswith(b"\xff\xd8")
    return tuple(tf.io.decode_jpeg(content).shape)


@pytest.mark.parametrize("kind", ["tensor", "files", "array", "pack"])
def test_images_are_shrunk_to_the_side_asked_for(kind):
    pixels = np.zeros((3, 40, 20, 3), np.uint8)
    pixels[1] = 200
    images = {
        "tensor": tf.constant(pixels),
        "files": tf.constant([tf.io.encode_png(image).numpy() for image in pixels]),
        "array": pixels,
        "pack": PackedImages(
            pixels.ravel(), np.arange(4) * pixels[0].size, np.full((3, 2), (40, 20), np.int32)
        ),
    }[kind]
    examples = Examples(images, ("a", "b/c", "d"), np.zeros(3, np.int64))
    small = jpeg_thumbnails(examples, ["b/c", "not there"], side_px=10)
    assert list(small) == ["b/c"] and decoded_shape(small["b/c"]) == (10, 5, 3)
    assert abs(int(tf.io.decode_jpeg(small["b/c"]).numpy().mean()) - 200) <= 2
    assert decoded_shape(jpeg_thumbnails(examples, ["a"], side_px=64)["a"]) == (40, 20, 3)
