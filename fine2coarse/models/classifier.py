"""A classifier: a backbone and a linear head."""

from __future__ import annotations

import keras

from fine2coarse.models.backbones import BackboneSpec, build_backbone


class Classifier(keras.Model):
    """Images float [B, H, W, 3] in [0, 1] to logits float32 [B, num_classes].

    The backbone's initial weights depend on `seed` alone and not on the number of classes, so
    that runs with the same seed and different labels start from the same backbone.

    Args:
      spec: which backbone.
      num_classes: logits of the head.
      seed: of the initial weights.
      backbone: a ready one (images [B, H, W, 3] to features [B, D]) in place of a fresh one.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        num_classes: int,
        *,
        seed: int,
        backbone: keras.Model | None = None,
    ) -> None:
        super().__init__(name="classifier")
        self.backbone = backbone or build_backbone(spec, seed=seed)
        self.head = keras.layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01, seed=seed),
            dtype="float32",
            name="head",
        )
        self.head.build(self.backbone.output_shape)
        self.built = True

    def call(self, images: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Logits of a batch."""
        return self.head(self.backbone(images, training=training))

    def predict_features(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """Pooled features float [B, D], in inference mode."""
        return self.backbone(images, training=False)
