"""A small ResNet for images of 32 to 64 px, after He et al. (arXiv 1512.03385), section 4.2."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from fine2coarse.models.batch_norm import batch_norm


def small_resnet(
    image_size_px: int, *, widths: Sequence[int] = (32, 64, 128), blocks_per_stage: int = 1
) -> keras.Model:
    """Builds a headless ResNet for small images.

    The first convolution brings the image to about 32 px (at 32 px it keeps the resolution).

    Args:
      image_size_px: side of the square input.
      widths: channels of each stage; every stage after the first halves the resolution.
      blocks_per_stage: residual blocks (two 3×3 convolutions each) in each stage.

    Returns:
      Model from float [B, size, size, 3] to pooled features [B, widths[-1]].
    """
    inputs = keras.Input((image_size_px, image_size_px, 3), name="image")
    x = _convolution(widths[0], 3, max(image_size_px // 32, 1))(inputs)
    x = layers.ReLU()(batch_norm()(x))
    for stage, width in enumerate(widths):
        for block in range(blocks_per_stage):
            stride = 2 if stage and not block else 1
            x = _residual_block(x, width, stride)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x), name="small_resnet")


def _residual_block(x: keras.KerasTensor, width: int, stride: int) -> keras.KerasTensor:
    shortcut = x
    if stride > 1 or x.shape[-1] != width:
        shortcut = batch_norm()(_convolution(width, 1, stride)(x))
    x = layers.ReLU()(batch_norm()(_convolution(width, 3, stride)(x)))
    x = batch_norm()(_convolution(width, 3)(x))
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _convolution(width: int, kernel: int, stride: int = 1) -> layers.Conv2D:
    return layers.Conv2D(
        width, kernel, stride, padding="same", use_bias=False, kernel_initializer="he_normal"
    )
