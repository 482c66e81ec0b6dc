"""Floating-point operations against published numbers and hand counts; memory's peak."""

import keras
import numpy as np
import pytest

from fine2coarse.models import BackboneSpec, Classifier, build_backbone
from fine2coarse.training.cost import PeakMemory, train_flops_per_image

pytestmark = pytest.mark.both_backends

_GIGA = 10**9


def _flops(name: str, size: int) -> int:
    backbone = build_backbone(BackboneSpec(name, size), seed=0)
    head = keras.layers.Dense(1000)
    return train_flops_per_image(keras.Sequential([backbone, head]), (size, size, 3))


# Multiply-add pairs of one image in billions: torchvision's table of models.
@pytest.mark.parametrize(("name", "pairs"), [("resnet18", 1.81), ("resnet34", 3.66)])
def test_resnet_as_published(name, pairs):
    assert _flops(name, 224) == pytest.approx(3 * 2 * pairs * _GIGA, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pairs"), [("resnet50", 4.09), ("vit_b16", 17.56)])
def test_large_models_as_published(name, pairs):
    assert _flops(name, 224) == pytest.approx(3 * 2 * pairs * _GIGA, rel=0.01)


def test_hand_count():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    x = keras.layers.Flatten()(x)
    model = keras.Model(inputs, keras.layers.Dense(5)(x))
    by_hand = 2 * (9 * 3 * 4 * 64) + 2 * (4 * 64 * 5)
    assert train_flops_per_image(model, (8, 8, 3)) == 3 * by_hand


def test_depthwise_and_attention_products():
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.DepthwiseConv2D(3, padding="same")(inputs)
    x = keras.layers.Reshape((36, 2))(x)
    x = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)(x, x)
    model = keras.Model(inputs, x)
    depthwise = 2 * 9 * 2 * 36
    projections = 4 * (2 * 36 * 2 * 8)
    products = 2 * (2 * 36 * 36 * 8)
    assert train_flops_per_image(model, (6, 6, 2)) == 3 * (depthwise + projections + products)


def test_peak_memory_sees_an_array_come_and_go():
    before = PeakMemory()
    array = np.ones(64 * 1024**2, np.uint8)
    del array
    with_array = before.num_bytes()
    after = PeakMemory().num_bytes()
    if with_array is None:
        pytest.skip("this system does not tell")
    assert with_array - after > 32 * 1024**2


def test_classifier_of_the_project_is_counted():
    spec = BackboneSpec("resnet_tiny", 32)
    backbone = train_flops_per_image(build_backbone(spec, seed=0), (32, 32, 3))
    whole = train_flops_per_image(Classifier(spec, 10, seed=0), (32, 32, 3))
    assert whole == backbone + 3 * 2 * 64 * 10
