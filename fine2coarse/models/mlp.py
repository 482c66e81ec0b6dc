"""The plain networks of *Scaling MLPs* (Bachmann et al., arXiv 2306.13575)."""

from __future__ import annotations

import dataclasses

import keras
from keras import layers


@dataclasses.dataclass(frozen=True)
class MlpSpec:
    """One network, named as there: `B_12-Wi_1024` has 12 blocks of width 1024.

    Attributes:
      num_blocks: blocks after the first linear layer.
      width: of the hidden layers.
      bottleneck: blocks x + W₂·GELU(W₁·LN(x)) with a hidden layer of 4 × width (B-MLP, section
        3.2); else layer norm → GELU → linear (S-MLP). Neither has a norm at the end.
    """

    num_blocks: int
    width: int
    bottleneck: bool = True


# Section 3.2: the inner layer of a block is four times as wide.
_EXPANSION = 4


def mlp(image_size_px: int, spec: MlpSpec, dropout_rate: float = 0.0) -> keras.Model:
    """Builds the headless network.

    Args:
      image_size_px: side of the square input; 64 in the paper.
      spec: depth, width and kind of block.
      dropout_rate: after each block's last linear layer.

    Returns:
      Model from float [B, size, size, 3] to features [B, width].
    """
    inputs = keras.Input((image_size_px, image_size_px, 3), name="image")
    x = layers.Dense(spec.width, name="embedding")(layers.Flatten()(inputs))
    for number in range(1, spec.num_blocks + 1):
        block = _bottleneck_block if spec.bottleneck else _standard_block
        x = block(x, spec.width, dropout_rate, f"block{number}")
    return keras.Model(inputs, x, name="mlp")


def _bottleneck_block(
    x: keras.KerasTensor, width: int, dropout_rate: float, name: str
) -> keras.KerasTensor:
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(x)
    y = layers.Dense(_EXPANSION * width, activation="gelu", name=f"{name}_expand")(y)
    y = layers.Dense(width, name=f"{name}_contract")(y)
    if dropout_rate:
        y = layers.Dropout(dropout_rate)(y)
    return layers.Add()([x, y])


def _standard_block(
    x: keras.KerasTensor, width: int, dropout_rate: float, name: str
) -> keras.KerasTensor:
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(x)
    y = layers.Dense(width, name=f"{name}_linear")(layers.Activation("gelu")(y))
    return layers.Dropout(dropout_rate)(y) if dropout_rate else y
