"""Datasets as TFDS builders: images stored once, labelled with their leaf."""

from fine2coarse import keras_settings

keras_settings.prefer_tensorflow()  # before TensorFlow, which imports Keras
