"""ResNets of He et al. (arXiv 1512.03385), headless, from images to pooled features.

Layers, their names and their order are those of KerasHub's `ResNetBackbone`, whose presets
therefore fit, and so do the runs and exports that were made with it.
"""

from __future__ import annotations

import dataclasses

import keras
from keras import layers

from fine2coarse.models.batch_norm import batch_norm
from fine2coarse.models.max_pool import max_pool

# Channels of the four stages, table 1; a bottleneck's output has four times as many.
_STAGE_WIDTHS = (64, 128, 256, 512)
_EXPANSION = 4


@dataclasses.dataclass(frozen=True)
class ResNetSpec:
    """A ResNet of table 1 there.

    Attributes:
      num_blocks: of each of the four stages.
      bottleneck: blocks of 1×1, 3×3 and 1×1 convolutions, the stride in the 3×3 one; else of two
        3×3 convolutions.
    """

    num_blocks: tuple[int, ...]
    bottleneck: bool


def resnet(image_size_px: int, spec: ResNetSpec, *, small_stem: bool) -> keras.Model:
    """Builds a ResNet.

    Args:
      image_size_px: side of the square input.
      spec: which one.
      small_stem: one 3×3 convolution that keeps the resolution in place of the 7×7 of stride 2
        and the pooling: for images of 32 to 64 px (He et al., section 4.2).

    Returns:
      Model from float [B, size, size, 3] to features [B, D].
    """
    if small_stem:
        return _small_stem_resnet(image_size_px, spec)
    inputs = keras.Input((image_size_px, image_size_px, 3), name="image")
    x = _relu(_convolution(inputs, _STAGE_WIDTHS[0], 7, 2, "conv1"), "conv1_relu")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = max_pool("pool1_pool")(x)
    pooled = layers.GlobalAveragePooling2D()(_stages(x, spec))
    return keras.Model(inputs, pooled, name="pooled_resnet")


def _small_stem_resnet(image_size_px: int, spec: ResNetSpec) -> keras.Model:
    # Draws the seed of the 7×7 convolution, so that a seed gives the weights that it always gave.
    layers.Conv2D(_STAGE_WIDTHS[0], 7)
    after_stem = keras.Input((image_size_px, image_size_px, _STAGE_WIDTHS[0]), name="after_stem")
    stages = keras.Model(after_stem, _stages(after_stem, spec), name="stages")
    inputs = keras.Input((image_size_px, image_size_px, 3), name="image")
    x = layers.Conv2D(
        _STAGE_WIDTHS[0], 3, padding="same", use_bias=False, name="stem_conv"
    )(inputs)  # fmt: skip
    x = layers.ReLU()(batch_norm("stem_norm")(x))
    pooled = layers.GlobalAveragePooling2D()(stages(x))
    return keras.Model(inputs, pooled, name="small_stem_resnet")


def _stages(x: keras.KerasTensor, spec: ResNetSpec) -> keras.KerasTensor:
    for stage, (width, num_blocks) in enumerate(zip(_STAGE_WIDTHS, spec.num_blocks, strict=True)):
        for block in range(num_blocks):
            stride = 2 if stage and not block else 1
            x = _block(x, width, stride, spec.bottleneck, f"stack{stage}_block{block}")
    return x


def _block(
    x: keras.KerasTensor, width: int, stride: int, bottleneck: bool, name: str
) -> keras.KerasTensor:
    """A residual block; its shortcut is a 1×1 convolution where the shape changes (option B)."""
    if bottleneck:
        convolutions = [(width, 1, 1), (width, 3, stride), (_EXPANSION * width, 1, 1)]
    else:
        convolutions = [(width, 3, stride), (width, 3, 1)]
    width_out = convolutions[-1][0]
    shortcut = x
    if stride > 1 or x.shape[-1] != width_out:
        shortcut = _convolution(x, width_out, 1, stride, f"{name}_0")
    for number, convolution in enumerate(convolutions, start=1):
        x = _convolution(x, *convolution, f"{name}_{number}")
        if number < len(convolutions):
            x = _relu(x, f"{name}_{number}_relu")
    return _relu(layers.Add(name=f"{name}_add")([shortcut, x]), f"{name}_out")


def _convolution(
    x: keras.KerasTensor, width: int, kernel: int, stride: int, name: str
) -> keras.KerasTensor:
    """A convolution and its norm. Where it has a stride, all borders are padded alike."""
    padded = stride > 1 and kernel > 1
    if padded:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    x = layers.Conv2D(
        width,
        kernel,
        stride,
        padding="valid" if padded else "same",
        use_bias=False,
        name=f"{name}_conv",
    )(x)
    return batch_norm(f"{name}_bn")(x)


def _relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.Activation("relu", name=name)(x)
