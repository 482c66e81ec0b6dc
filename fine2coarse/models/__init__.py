"""Backbones and heads; this room alone knows which exist. Keras only, free of TensorFlow code."""

from fine2coarse.models.backbones import BackboneSpec, UnknownBackboneError, backbone_names
from fine2coarse.models.classifier import Classifier, LinearHead

__all__ = ["BackboneSpec", "Classifier", "LinearHead", "UnknownBackboneError", "backbone_names"]
