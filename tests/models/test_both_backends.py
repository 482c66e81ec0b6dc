"""What a backbone is on TensorFlow and on JAX alike."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from fine2coarse.models import BackboneSpec, build_backbone, open_image_size
from fine2coarse.models.batch_norm import batch_norm
from fine2coarse.models.max_pool import SlicedMaxPooling2D, max_pool
from fine2coarse.models.vit import VitSpec, vit
from fine2coarse.models.weights import copy_weights

pytestmark = pytest.mark.both_backends


def small_vit(dropout_rate: float = 0.0) -> keras.Model:
    """Four patches of 16 px, two blocks of two heads."""
    keras.utils.set_random_seed(0)
    return vit(32, VitSpec(16, 2, 2, 8), dropout_rate=dropout_rate)


def test_batch_norm_takes_the_backends_own_way_to_whole_batches():
    on_tensorflow = keras.config.backend() == "tensorflow"
    norm = batch_norm("norm")
    assert norm.synchronized == on_tensorflow
    # 1 and 3: mean 2, variance 1; the running mean goes a tenth of the way from 0 to 2.
    found = norm(np.array([[1.0], [3.0]], np.float32), training=True)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), [[-1], [1]], atol=1e-4)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(norm.moving_mean), [0.2], atol=1e-6)


@pytest.mark.parametrize("sides", [(8, 8), (9, 7), (3, 4)])
def test_max_pooling_by_slices_is_max_pooling(sides):
    images = np.random.default_rng(0).integers(0, 4, (2, *sides, 3)).astype(np.float32)
    ours, theirs = (
        keras.ops.convert_to_numpy(layer(3, strides=2)(images))
        for layer in (SlicedMaxPooling2D, keras.layers.MaxPooling2D)
    )
    np.testing.assert_array_equal(ours, theirs)
    images[0, 1, 1, 0] = np.nan  # which stays, so that it shows in the loss
    layer = SlicedMaxPooling2D(3, strides=2)
    assert np.isnan(keras.ops.convert_to_numpy(layer(images))[0, 0, 0, 0])


def test_a_resnets_max_pooling_has_a_deterministic_gradient_on_jax():
    pool = max_pool("pool")
    if keras.config.backend() == "tensorflow":
        assert type(pool) is keras.layers.MaxPooling2D
        return
    import jax

    # One window; of the two largest pixels, (0, 2) comes before (1, 0).
    image = np.array([[0, 1, 5], [5, 2, 3], [4, 4, 4]], np.float32).reshape(1, 3, 3, 1)
    gradient = jax.grad(lambda x: pool(x).sum())
    found = np.asarray(gradient(image))[0, :, :, 0]
    np.testing.assert_array_equal(found, [[0, 0, 1], [0, 0, 0], [0, 0, 0]])
    assert "scatter" not in str(jax.make_jaxpr(gradient)(image))


@pytest.mark.parametrize("options", [{}, {"small_stem": True}])
def test_a_resnet_with_an_open_size_gives_the_same_features(options):
    backbone = build_backbone(BackboneSpec("resnet18", 32, **options), seed=0)
    opened = open_image_size(backbone)
    copy_weights(opened, backbone, "there")
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    ours, theirs = (keras.ops.convert_to_numpy(model(images)) for model in (backbone, opened))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert opened(np.zeros((1, 40, 24, 3), np.float32)).shape == (1, 512)


def test_every_layer_of_a_vit_can_be_copied_from_its_configuration():
    backbone = small_vit(dropout_rate=0.1)
    copy = keras.models.clone_model(backbone)
    copy_weights(copy, backbone, "there")
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    ours, theirs = (keras.ops.convert_to_numpy(model(images)) for model in (backbone, copy))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_attention_sees_every_patch():
    """A change of the last patch changes the class token, which comes first."""
    backbone = small_vit()
    images = np.zeros((2, 32, 32, 3), np.float32)
    images[1, 16:, 16:] = 1
    plain, changed = keras.ops.convert_to_numpy(backbone(images))
    assert np.abs(plain - changed).max() > 0.01


def test_flash_attention_is_off_on_a_tpu(monkeypatch):
    was = keras.config.is_flash_attention_enabled()
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["tpu:0", "tpu:1"])
    try:
        small_vit()
        assert keras.config.is_flash_attention_enabled() is False
    finally:
        if was is not False:
            keras.config.enable_flash_attention()
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0"])
    small_vit()
    assert keras.config.is_flash_attention_enabled() is was


def test_mixed_bfloat16_computes_in_bfloat16_and_keeps_float32_weights():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        backbone = small_vit()
    finally:
        keras.config.set_dtype_policy(policy)
    features = backbone(np.zeros((1, 32, 32, 3), np.float32))
    assert keras.backend.standardize_dtype(features.dtype) == "bfloat16"
    assert {weight.dtype for weight in backbone.trainable_weights} == {"float32"}
