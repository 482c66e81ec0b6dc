"""Backbones: parameter counts, seeds, names."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from fine2coarse.models import BackboneSpec, Classifier, UnknownBackboneError, backbone_names
from fine2coarse.models.backbones import build_backbone
from fine2coarse.models.weights import WeightsError, copy_weights, resize_positions

pytestmark = pytest.mark.both_backends

# Trainable parameters with a 1000-way head at 224 px, in millions, as the literature counts them.
PARAMETERS = {
    "resnet18": 11.69,
    "resnet34": 21.80,
    "resnet50": 25.56,
    "vit_s16": 22.05,
    "vit_b16": 86.57,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts(name):
    model = Classifier(BackboneSpec(name, 224), 1000, seed=0)
    count = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert round(count / 1e6, 2) == PARAMETERS[name]


def test_small_resnet_keeps_resolution_in_its_stem():
    model = Classifier(BackboneSpec("resnet_tiny", 32), 4, seed=0)
    body = next(layer for layer in model.backbone.layers if layer.name == "small_resnet")
    pool = next(x for x in body.layers if isinstance(x, keras.layers.GlobalAveragePooling2D))
    assert tuple(pool.input.shape[1:3]) == (8, 8)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="JAX's is global anyway")
def test_batch_normalisation_is_synchronised_everywhere():
    for name in ("resnet_tiny", "resnet18"):
        model = Classifier(BackboneSpec(name, 32), 4, seed=0)
        norms = [
            layer
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        assert norms and all(layer.synchronized for layer in norms)


def test_seed_fixes_the_backbone_whatever_the_head():
    few = Classifier(BackboneSpec("resnet_tiny", 32), 4, seed=3).backbone.get_weights()
    many = Classifier(BackboneSpec("resnet_tiny", 32), 50, seed=3).backbone.get_weights()
    other = Classifier(BackboneSpec("resnet_tiny", 32), 4, seed=4).backbone.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(few, many))
    assert not all(np.array_equal(a, b) for a, b in zip(few, other))


def test_unknown_name_lists_what_there_is():
    with pytest.raises(UnknownBackboneError, match="did you mean 'resnet_small'") as caught:
        BackboneSpec("resnet_smal", 32)
    assert all(name in str(caught.value) for name in backbone_names())


# With the authors' 11,230 classes (github.com/gregorbachmann/scaling_mlps, data_stats.py). Their
# README's whole millions are cut, not rounded.
MLP_MILLIONS = {
    "mlp_B_6-Wi_512": 24,
    "mlp_B_12-Wi_512": 37,
    "mlp_B_6-Wi_1024": 74,
    "mlp_B_12-Wi_1024": 124,
}


@pytest.mark.parametrize("name", MLP_MILLIONS)
def test_mlp_parameter_counts(name):
    model = Classifier(BackboneSpec(name, 64), 11_230, seed=0)
    count = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert count // 1_000_000 == MLP_MILLIONS[name]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "millions"), [("vit_b32", 88.22), ("vit_l16", 304.33)])
def test_large_vit_parameter_counts(name, millions):
    model = Classifier(BackboneSpec(name, 224), 1000, seed=0)
    count = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert round(count / 1e6, 2) == millions


def test_small_stem_keeps_the_resolution_up_to_the_second_stage():
    spec = BackboneSpec("resnet18", 32, small_stem=True)
    model = Classifier(spec, 4, seed=0)
    body = next(layer for layer in model.backbone.layers if layer.name == "small_stem_resnet")
    pool = next(x for x in body.layers if isinstance(x, keras.layers.GlobalAveragePooling2D))
    assert tuple(pool.input.shape[1:3]) == (4, 4)
    stem = next(x for x in body.layers if x.name == "stem_conv")
    assert tuple(stem.kernel.shape) == (3, 3, 3, 64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "vit_s16", "image_size_px": 40}, "patches of 16 px"),
        ({"name": "vit_s16", "image_size_px": 32, "small_stem": True}, "small_stem is for resnet"),
        ({"name": "resnet18", "image_size_px": 32, "dropout_rate": 0.1}, "ViTs and MLPs"),
    ],
)
def test_options_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        BackboneSpec(**settings)


def test_head_bias_of_sigmoid_losses():
    model = Classifier(BackboneSpec("mlp_B_2-Wi_64", 8), 3, seed=0, head_bias=-10.0)
    assert model.head.bias.numpy().tolist() == [-10.0] * 3


def test_weights_are_copied_whole_or_not_at_all():
    ours = build_backbone(BackboneSpec("mlp_B_2-Wi_64", 8), seed=0)
    same = build_backbone(BackboneSpec("mlp_B_2-Wi_64", 8), seed=1)
    copy_weights(ours, same, "there")
    assert all(np.array_equal(a, b) for a, b in zip(ours.get_weights(), same.get_weights()))
    other = build_backbone(BackboneSpec("mlp_B_2-Wi_64", 16), seed=2)
    with pytest.raises(WeightsError, match=r"only wanted: .*192, 64.*only there: .*768, 64"):
        copy_weights(ours, other, "there")
    assert all(np.array_equal(a, b) for a, b in zip(ours.get_weights(), same.get_weights()))


def test_position_embeddings_resize_with_the_image():
    small = build_backbone(BackboneSpec("vit_ti16", 32), seed=0)
    large = build_backbone(BackboneSpec("vit_ti16", 64), seed=1)
    copy_weights(large, small, "there")
    flat = np.concatenate([np.zeros((1, 3)), np.ones((4, 3))]).astype(np.float32)
    resized = resize_positions(flat, 17)
    assert resized.shape == (17, 3) and not resized[0].any() and (resized[1:] == 1).all()
    ramp = np.asarray([[9.0], [0.0], [1.0], [0.0], [1.0]], np.float32)
    row = resize_positions(ramp, 17)[1:5, 0]
    assert row[0] == 0 and row[3] == 1 and (np.diff(row) >= 0).all()
