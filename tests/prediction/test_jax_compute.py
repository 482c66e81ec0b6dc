"""Predictions on JAX: images as TensorFlow shows them, batches of any size."""

from __future__ import annotations

import io

import keras
import numpy as np
import pytest
from PIL import Image

from fine2coarse.prediction.image_models import Undecodable
from fine2coarse.prediction.jax_compute import compiled, square_decoder

pytestmark = pytest.mark.jax


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind)
    return data.getvalue()


def test_the_central_square_of_an_image():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    found = square_decoder(6)(encoded(pixels))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, pixels[:, 2:8] / np.float32(255))
    np.testing.assert_array_equal(square_decoder(6)(encoded(pixels[:, 2:8])), found)


def test_a_square_that_shrinks_is_within_a_grey_value_of_tensorflows():
    augmentation = pytest.importorskip("fine2coarse.input.augmentation")
    pixels = np.random.default_rng(1).integers(0, 256, (31, 47, 3), dtype=np.uint8)
    theirs = augmentation.eval_image(pixels_of(pixels), 12).numpy()
    np.testing.assert_allclose(square_decoder(12)(encoded(pixels)), theirs, atol=1.01 / 255)


def pixels_of(pixels: np.ndarray) -> object:
    import tensorflow as tf

    return tf.constant(pixels)


def test_what_is_no_image_or_damaged_is_refused():
    whole = encoded(np.zeros((40, 40, 3), np.uint8), "JPEG")
    for data in (b"no image", whole[: len(whole) // 2]):
        with pytest.raises(Undecodable):
            square_decoder(8)(data)


def test_batches_of_any_size_and_weights_that_change():
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2))
    apply = compiled(model, lambda images: [model(images), images[:, 0, 0, 0]], 4)
    images = np.random.default_rng(2).random((5, 4, 4, 3), np.float32)
    for num_images in (1, 3, 5):
        logits, corners = apply(images[:num_images])
        np.testing.assert_array_equal(corners, images[:num_images, 0, 0, 0])
        theirs = np.asarray(model(images[:num_images]))
        np.testing.assert_allclose(logits, theirs, atol=1e-6)
    model.layers[-1].kernel.assign(np.zeros((48, 2)))
    assert not apply(images)[0].any()
