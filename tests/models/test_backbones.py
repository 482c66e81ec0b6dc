"""Backbones: parameter counts, seeds, names."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from fine2coarse.models import BackboneSpec, Classifier, UnknownBackboneError, backbone_names

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
