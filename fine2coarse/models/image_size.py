"""Backbones built for one image size, opened to every height and width where that is sound."""

from __future__ import annotations

import keras
from keras import layers

from fine2coarse.errors import UsageError

# Neither their weights nor their configuration know the height and width of what they are given.
_SIZE_FREE = (
    layers.InputLayer,
    layers.Normalization,
    layers.Conv2D,
    layers.BatchNormalization,
    layers.ReLU,
    layers.Activation,
    layers.Add,
    layers.Dropout,
    layers.MaxPooling2D,
    layers.AveragePooling2D,
    layers.ZeroPadding2D,
    layers.GlobalAveragePooling2D,
)


def takes_any_image_size(backbone: keras.Model) -> bool:
    """Whether the backbone is made of layers alone that do not know the image's size.

    True of convolutions under a global average; not of patches with positions (ViT) or of dense
    layers over pixels (MLP).
    """
    return all(
        takes_any_image_size(layer)
        if isinstance(layer, keras.Model)
        else isinstance(layer, _SIZE_FREE)
        for layer in backbone.layers
    )


def open_image_size(backbone: keras.Model) -> keras.Model:
    """A copy with fresh weights, in the same order, whose input is [B, None, None, channels].

    Raises:
      UsageError: where `takes_any_image_size` is False.
    """
    if not takes_any_image_size(backbone):
        raise UsageError(f"backbone {backbone.name} takes images of one size only")
    return _open(backbone)


def _open(model: keras.Model) -> keras.Model:
    inputs = keras.Input((None, None, model.input.shape[-1]), name=model.input.name)
    return keras.models.clone_model(model, input_tensors=inputs, clone_function=_clone_layer)


def _clone_layer(layer: layers.Layer) -> layers.Layer:
    if isinstance(layer, keras.Model):
        return _open(layer)
    return type(layer).from_config(layer.get_config())
