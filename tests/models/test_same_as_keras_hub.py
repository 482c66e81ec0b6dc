"""Our ResNets and ViTs are KerasHub's: weights, names, outputs, files."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from fine2coarse.models import BackboneSpec, Classifier, build_backbone
from fine2coarse.models.roles import kernels

pytest.importorskip("keras_hub")

from tests.models.keras_hub_models import keras_hub_backbone

pytestmark = pytest.mark.both_backends


def _spec(name: str, size_px: int = 32, **options: object):
    marks = () if name == "resnet18" else pytest.mark.slow
    if name in ("vit_b16", "vit_b32", "vit_l16"):
        marks = pytest.mark.stress
    return pytest.param(
        BackboneSpec(name, size_px, **options), marks=marks, id="-".join([name, *options])
    )


SPECS = [
    _spec("resnet18"),
    _spec("resnet18", small_stem=True),
    _spec("resnet34"),
    _spec("resnet50"),
    _spec("vit_ti16"),
    _spec("vit_ti16", dropout_rate=0.1),
    _spec("vit_s16"),
    _spec("vit_b16"),
    _spec("vit_b32", 64),
    _spec("vit_l16"),
]


def outputs(model: keras.Model, images: np.ndarray, *, training: bool) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(images, training=training))


@pytest.mark.parametrize("spec", SPECS)
def test_weights_outputs_and_files(spec, tmp_path):
    theirs = Classifier(spec, 3, seed=7, backbone=keras_hub_backbone(spec, seed=7))
    ours = Classifier(spec, 3, seed=7)
    # The same seed gives the same numbers, under the same names in the same order.
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    assert all(np.array_equal(a, b) for a, b in zip(ours.get_weights(), theirs.get_weights()))
    assert [w.path for w in ours.trainable_weights] == [w.path for w in theirs.trainable_weights]
    # In inference, in training, and in inference after the statistics have moved.
    images = np.random.default_rng(0).random((8, *ours.backbone.input_shape[1:]), np.float32)
    for training in (False, True, False):
        found, wanted = (outputs(model, images, training=training) for model in (ours, theirs))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    # A file of either is one of the other.
    fresh = Classifier(spec, 3, seed=8)
    for source, target in ((theirs, fresh), (fresh, theirs)):
        source.save_weights(tmp_path / "x.weights.h5")
        target.load_weights(tmp_path / "x.weights.h5")
        assert all(np.array_equal(a, b) for a, b in zip(fresh.get_weights(), theirs.get_weights()))


@pytest.mark.parametrize(
    ("name", "options", "num_kernels"),
    [
        # 1 stem, 16 of the blocks, 3 shortcuts.
        ("resnet18", {}, 20),
        ("resnet18", {"small_stem": True}, 20),
        # The patches, and of each of 12 blocks query, key, value, output and two dense layers.
        ("vit_ti16", {}, 1 + 12 * 6),
    ],
)
def test_what_weight_decay_applies_to(name, options, num_kernels):
    backbone = build_backbone(BackboneSpec(name, 32, **options), seed=0)
    decayed = [weight.path for weight in kernels(backbone)]
    assert len(decayed) == num_kernels
    assert all(path.endswith("/kernel") for path in decayed)
    left_out = {weight.path.split("/")[-1] for weight in backbone.trainable_weights}
    assert left_out - {"kernel"} <= {"gamma", "beta", "bias", "class_token", "embeddings"}
