"""Our backbones as KerasHub makes them: what ours are compared with."""

from __future__ import annotations

import keras
import keras_hub

from fine2coarse.models import BackboneSpec

_RESNETS = {
    "resnet18": ((2, 2, 2, 2), "basic_block"),
    "resnet34": ((3, 4, 6, 3), "basic_block"),
    "resnet50": ((3, 4, 6, 3), "bottleneck_block"),
}
# Patch, layers, heads, width.
_VITS = {
    "vit_ti16": (16, 12, 3, 192),
    "vit_s16": (16, 12, 6, 384),
    "vit_b16": (16, 12, 12, 768),
    "vit_b32": (32, 12, 12, 768),
    "vit_l16": (16, 24, 16, 1024),
}


def keras_hub_backbone(spec: BackboneSpec, *, seed: int) -> keras.Model:
    """As `build_backbone`."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((spec.image_size_px, spec.image_size_px, 3), name="image")
    normalise = keras.layers.Normalization(
        mean=(0.485, 0.456, 0.406), variance=(0.229**2, 0.224**2, 0.225**2)
    )
    body = _resnet(spec) if spec.name in _RESNETS else _vit(spec)
    backbone = keras.Model(inputs, body(normalise(inputs)), name=spec.name)
    for layer in body._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = keras.config.backend() == "tensorflow"
    return backbone


def _resnet(spec: BackboneSpec) -> keras.Model:
    size_px = spec.image_size_px
    # The pooling of KerasHub's stem ends at a quarter of its input.
    hub_size_px = 4 * size_px if spec.small_stem else size_px
    num_blocks, block_type = _RESNETS[spec.name]
    body = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=list(num_blocks),
        stackwise_num_strides=[1, 2, 2, 2],
        block_type=block_type,
        image_shape=(hub_size_px, hub_size_px, 3),
    )
    if not spec.small_stem:
        pooled = keras.layers.GlobalAveragePooling2D()(body.output)
        return keras.Model(body.input, pooled, name="pooled_resnet")
    stages = keras.Model(body.get_layer("pool1_pool").output, body.output, name="stages")
    inputs = keras.Input((size_px, size_px, 3), name="image")
    x = keras.layers.Conv2D(64, 3, padding="same", use_bias=False, name="stem_conv")(inputs)
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="stem_norm")(x)
    pooled = keras.layers.GlobalAveragePooling2D()(stages(keras.layers.ReLU()(x)))
    return keras.Model(inputs, pooled, name="small_stem_resnet")


def _vit(spec: BackboneSpec) -> keras.Model:
    patch_size_px, num_layers, num_heads, width = _VITS[spec.name]
    body = keras_hub.models.ViTBackbone(
        image_shape=(spec.image_size_px, spec.image_size_px, 3),
        patch_size=patch_size_px,
        num_layers=num_layers,
        num_heads=num_heads,
        hidden_dim=width,
        mlp_dim=4 * width,
        dropout_rate=spec.dropout_rate,
    )
    return keras.Model(body.input, body.output[:, 0], name="class_token_vit")
