"""The backbones there are: headless models from images in [0, 1] to pooled features."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import keras
import numpy as np

from fine2coarse.models.mlp import MlpSpec, mlp
from fine2coarse.models.resnet import ResNetSpec, resnet
from fine2coarse.models.small_resnet import small_resnet
from fine2coarse.models.vit import VitSpec, vit
from fine2coarse.recipes.backbone_spec import BackboneSpec

# Channel means and standard deviations of ImageNet in [0, 1], the usual choice in the field.
_IMAGE_MEAN = (0.485, 0.456, 0.406)
_IMAGE_VARIANCE = (0.229**2, 0.224**2, 0.225**2)


def build_backbone(spec: BackboneSpec, *, seed: int) -> keras.Model:
    """Builds a backbone with fresh weights.

    The same spec and seed give the same weights, on one backend of Keras. Batch normalisation is
    over the whole batch, whatever devices share it. Normalisation of the pixels is part of the
    model.

    Args:
      spec: which one.
      seed: of the initial weights; sets Keras's global seed, for the layers that draw from it.

    Returns:
      Model from float [B, size, size, 3] in [0, 1] to pooled features float [B, D].
    """
    _set_random_seed(seed)
    inputs = keras.Input((spec.image_size_px, spec.image_size_px, 3), name="image")
    normalise = keras.layers.Normalization(mean=_IMAGE_MEAN, variance=_IMAGE_VARIANCE)
    features = _BUILDERS[spec.name](spec)(normalise(inputs))
    return keras.Model(inputs, features, name=spec.name)


def _set_random_seed(seed: int) -> None:
    if keras.config.backend() == "tensorflow":
        keras.utils.set_random_seed(seed)
    else:  # Keras's function would import TensorFlow where it is installed, which takes seconds
        random.seed(seed)
        np.random.seed(seed)


Builder = Callable[["BackboneSpec"], keras.Model]


def _resnet(num_blocks: tuple[int, ...], *, bottleneck: bool = False) -> Builder:
    shape = ResNetSpec(num_blocks, bottleneck)
    return lambda spec: resnet(spec.image_size_px, shape, small_stem=spec.small_stem)


def _vit(patch_size_px: int, num_layers: int, num_heads: int, width: int) -> Builder:
    shape = VitSpec(patch_size_px, num_layers, num_heads, width)
    return lambda spec: vit(spec.image_size_px, shape, dropout_rate=spec.dropout_rate)


def _mlp(num_blocks: int, width: int, bottleneck: bool = True) -> Builder:
    shape = MlpSpec(num_blocks, width, bottleneck)
    return lambda spec: mlp(spec.image_size_px, shape, spec.dropout_rate)


_RESNETS: Mapping[str, Builder] = {
    "resnet18": _resnet((2, 2, 2, 2)),
    "resnet34": _resnet((3, 4, 6, 3)),
    "resnet50": _resnet((3, 4, 6, 3), bottleneck=True),
}
_VITS: Mapping[str, Builder] = {
    "vit_ti16": _vit(16, 12, 3, 192),
    "vit_s16": _vit(16, 12, 6, 384),
    "vit_b16": _vit(16, 12, 12, 768),
    "vit_b32": _vit(32, 12, 12, 768),
    "vit_l16": _vit(16, 24, 16, 1024),
}
# B_* are the paper's B-MLPs, S_* its S-MLPs; the smallest is ours, for tries.
_MLPS: Mapping[str, Builder] = {
    "mlp_B_2-Wi_64": _mlp(2, 64),
    "mlp_B_6-Wi_512": _mlp(6, 512),
    "mlp_B_12-Wi_512": _mlp(12, 512),
    "mlp_B_6-Wi_1024": _mlp(6, 1024),
    "mlp_B_12-Wi_1024": _mlp(12, 1024),
    "mlp_S_6-Wi_512": _mlp(6, 512, bottleneck=False),
    "mlp_S_6-Wi_1024": _mlp(6, 1024, bottleneck=False),
}
_BUILDERS: Mapping[str, Builder] = {
    "resnet_tiny": lambda spec: small_resnet(spec.image_size_px, widths=(16, 32, 64)),
    "resnet_small": lambda spec: small_resnet(spec.image_size_px),
    **_RESNETS,
    **_VITS,
    **_MLPS,
}
