"""A classifier: a backbone and a linear head."""

from __future__ import annotations

import keras

from fine2coarse.models.backbones import build_backbone
from fine2coarse.models.summation import Summation, SummedHead
from fine2coarse.recipes.backbone_spec import BackboneSpec


class Classifier(keras.Model):
    """Images float [B, H, W, 3] in [0, 1] to logits float32 [B, C], or [B, K] where summed.

    The backbone's initial weights depend on `seed` alone and not on the number of classes, so
    that runs with the same seed and different labels start from the same backbone.

    Args:
      spec: of the backbone.
      num_classes: C, of the head.
      seed: of the initial weights.
      head_bias: that each class starts with; -10 where the loss is sigmoid.
      backbone: a ready one (images [B, H, W, 3] to features [B, D]) in place of a fresh one.
      summation: from the head's C classes to K targets; None where these are the same.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        num_classes: int,
        *,
        seed: int,
        head_bias: float = 0.0,
        backbone: keras.Model | None = None,
        summation: Summation | None = None,
    ) -> None:
        super().__init__(name="classifier")
        self.backbone = backbone or build_backbone(spec, seed=seed)
        self.head = _head(num_classes, seed, head_bias, summation)
        self.head.build(self.backbone.output_shape)
        self.built = True

    def call(self, images: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Logits of a batch."""
        return self.head(self.backbone(images, training=training))

    def predict_features(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """Pooled features float [B, D], in inference mode."""
        return self.backbone(images, training=False)


class LinearHead(keras.Model):
    """Features float [B, D] to logits float32 [B, C or K]: a classifier without its backbone.

    Its initial weights are those of the head of a `Classifier` with the same seed.

    Args:
      num_features: D.
      num_classes: C, of the head.
      seed: of the initial weights.
      head_bias: that each class starts with.
      summation: as of a `Classifier`.
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        *,
        seed: int,
        head_bias: float = 0.0,
        summation: Summation | None = None,
    ) -> None:
        super().__init__(name="linear_head")
        self.head = _head(num_classes, seed, head_bias, summation)
        self.head.build((None, num_features))
        self.built = True

    def call(self, features: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Logits of a batch."""
        return self.head(features)


def _head(
    num_classes: int, seed: int, bias: float, summation: Summation | None
) -> keras.layers.Layer:
    head = keras.layers.Dense(
        num_classes,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01, seed=seed),
        bias_initializer=keras.initializers.Constant(bias),
        dtype="float32",
        name="head",
    )
    return head if summation is None else SummedHead(head, summation)
