"""Backbones and heads; this package alone knows which exist. Keras only, no TensorFlow code.

In: a backbone's name and image size, a number of classes. Out: Keras models; weights by seed.
Start with `backbones.py`. Importing it pins Keras' global settings: see `keras_settings`.
"""

from fine2coarse import keras_settings

keras_settings.pin()  # before any module below makes a layer

# ruff: noqa: E402
from fine2coarse.models.backbones import build_backbone
from fine2coarse.models.classifier import Classifier, LinearHead
from fine2coarse.models.image_size import open_image_size, takes_any_image_size
from fine2coarse.models.summation import Summation, SummedHead
from fine2coarse.recipes.backbone_spec import BackboneSpec, UnknownBackboneError, backbone_names

__all__ = [
    "BackboneSpec",
    "Classifier",
    "LinearHead",
    "Summation",
    "SummedHead",
    "UnknownBackboneError",
    "backbone_names",
    "build_backbone",
    "open_image_size",
    "takes_any_image_size",
]
