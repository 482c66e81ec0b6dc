"""The backbones there are: headless models from images in [0, 1] to pooled features."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping

import keras

from fine2coarse.models.small_resnet import small_resnet

# Channel means and standard deviations of ImageNet in [0, 1], the usual choice in the field.
_IMAGE_MEAN = (0.485, 0.456, 0.406)
_IMAGE_VARIANCE = (0.229**2, 0.224**2, 0.225**2)


class UnknownBackboneError(ValueError):
    """A backbone name that this room does not know."""


@dataclasses.dataclass(frozen=True)
class BackboneSpec:
    """What a backbone is built from.

    Attributes:
      name: one of `backbone_names()`.
      image_size_px: side of the square input image.
    """

    name: str
    image_size_px: int

    def __post_init__(self) -> None:
        """Checks the name and the size."""
        if self.name not in _BUILDERS:
            close = difflib.get_close_matches(self.name, _BUILDERS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UnknownBackboneError(
                f"unknown backbone {self.name!r}{hint} There are: {', '.join(backbone_names())}"
            )
        if self.image_size_px < 8:
            raise ValueError(f"image_size_px must be at least 8, got {self.image_size_px}")


def build_backbone(spec: BackboneSpec, *, seed: int) -> keras.Model:
    """Builds a backbone with fresh weights.

    The same spec and seed give the same weights. Batch normalisation is synchronised across
    replicas. Normalisation of the pixels is part of the model.

    Args:
      spec: which one.
      seed: of the initial weights; sets Keras's global seed, for the layers that draw from it.

    Returns:
      Model from float [B, size, size, 3] in [0, 1] to pooled features float [B, D].
    """
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((spec.image_size_px, spec.image_size_px, 3), name="image")
    normalise = keras.layers.Normalization(mean=_IMAGE_MEAN, variance=_IMAGE_VARIANCE)
    features = _BUILDERS[spec.name](spec.image_size_px)(normalise(inputs))
    return keras.Model(inputs, features, name=spec.name)


def backbone_names() -> tuple[str, ...]:
    """Names that `BackboneSpec` accepts."""
    return tuple(sorted(_BUILDERS))


def _hub_resnet(blocks: tuple[int, ...], block_type: str) -> Callable[[int], keras.Model]:
    def build(image_size_px: int) -> keras.Model:
        import keras_hub

        body = keras_hub.models.ResNetBackbone(
            input_conv_filters=[64],
            input_conv_kernel_sizes=[7],
            stackwise_num_filters=[64, 128, 256, 512],
            stackwise_num_blocks=list(blocks),
            stackwise_num_strides=[1, 2, 2, 2],
            block_type=block_type,
            image_shape=(image_size_px, image_size_px, 3),
        )
        for layer in body.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
        pooled = keras.layers.GlobalAveragePooling2D()(body.output)
        return keras.Model(body.input, pooled, name="pooled_resnet")

    return build


def _hub_vit(num_heads: int, hidden_dim: int) -> Callable[[int], keras.Model]:
    def build(image_size_px: int) -> keras.Model:
        import keras_hub

        body = keras_hub.models.ViTBackbone(
            image_shape=(image_size_px, image_size_px, 3),
            patch_size=16,
            num_layers=12,
            num_heads=num_heads,
            hidden_dim=hidden_dim,
            mlp_dim=4 * hidden_dim,
        )
        return keras.Model(body.input, body.output[:, 0], name="class_token_vit")

    return build


_BUILDERS: Mapping[str, Callable[[int], keras.Model]] = {
    "resnet_tiny": lambda size: small_resnet(size, widths=(16, 32, 64)),
    "resnet_small": small_resnet,
    "resnet18": _hub_resnet((2, 2, 2, 2), "basic_block"),
    "resnet34": _hub_resnet((3, 4, 6, 3), "basic_block"),
    "resnet50": _hub_resnet((3, 4, 6, 3), "bottleneck_block"),
    "vit_s16": _hub_vit(6, 384),
    "vit_b16": _hub_vit(12, 768),
}
