"""KerasHub's ResNets and ViTs, headless, from images to pooled features."""

from __future__ import annotations

import dataclasses

import keras
from keras import layers


@dataclasses.dataclass(frozen=True)
class ResNetSpec:
    """A ResNet of He et al., arXiv 1512.03385, table 1.

    Attributes:
      num_blocks: of each of the four stages.
      block_type: KerasHub's 'basic_block' or 'bottleneck_block'.
    """

    num_blocks: tuple[int, ...]
    block_type: str


@dataclasses.dataclass(frozen=True)
class VitSpec:
    """A ViT of Dosovitskiy et al., arXiv 2010.11929, table 1 (Ti and S: arXiv 2012.12877).

    Attributes:
      patch_size_px: side of a patch.
      num_layers: encoder blocks.
      num_heads: attention heads.
      width: of the tokens; the blocks' inner layer is four times as wide.
    """

    patch_size_px: int
    num_layers: int
    num_heads: int
    width: int


def hub_resnet(image_size_px: int, spec: ResNetSpec, *, small_stem: bool) -> keras.Model:
    """Builds a ResNet.

    Args:
      image_size_px: side of the square input.
      spec: which one.
      small_stem: one 3×3 convolution that keeps the resolution in place of the 7×7 of stride 2
        and the pooling: for images of 32 to 64 px (He et al., section 4.2).

    Returns:
      Model from float [B, size, size, 3] to features [B, D].
    """
    import keras_hub

    # The pooling of KerasHub's stem ends at a quarter of its input.
    hub_size_px = 4 * image_size_px if small_stem else image_size_px
    body = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=list(spec.num_blocks),
        stackwise_num_strides=[1, 2, 2, 2],
        block_type=spec.block_type,
        image_shape=(hub_size_px, hub_size_px, 3),
    )
    for layer in body.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.synchronized = True
    if not small_stem:
        pooled = layers.GlobalAveragePooling2D()(body.output)
        return keras.Model(body.input, pooled, name="pooled_resnet")
    stages = keras.Model(body.get_layer("pool1_pool").output, body.output, name="stages")
    inputs = keras.Input((image_size_px, image_size_px, 3), name="image")
    x = layers.Conv2D(64, 3, padding="same", use_bias=False, name="stem_conv")(inputs)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=True, name="stem_norm")(
        x
    )
    pooled = layers.GlobalAveragePooling2D()(stages(layers.ReLU()(x)))
    return keras.Model(inputs, pooled, name="small_stem_resnet")


def hub_vit(image_size_px: int, spec: VitSpec, *, dropout_rate: float) -> keras.Model:
    """Builds a ViT; its feature is the class token after the last norm.

    Args:
      image_size_px: side of the square input, a multiple of the patch.
      spec: which one.
      dropout_rate: inside the encoder.

    Returns:
      Model from float [B, size, size, 3] to features [B, width].
    """
    import keras_hub

    body = keras_hub.models.ViTBackbone(
        image_shape=(image_size_px, image_size_px, 3),
        patch_size=spec.patch_size_px,
        num_layers=spec.num_layers,
        num_heads=spec.num_heads,
        hidden_dim=spec.width,
        mlp_dim=4 * spec.width,
        dropout_rate=dropout_rate,
    )
    return keras.Model(body.input, body.output[:, 0], name="class_token_vit")
