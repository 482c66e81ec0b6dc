"""Exporting a finished run as a SavedModel in TF Hub's form, with its model card.

In: a finished run's folder. Out: a folder (and .tar.gz) that TensorFlow Hub, Keras 2 and Keras 3
load and train. Start with `run_export.py`.
"""

from fine2coarse import keras_settings

keras_settings.prefer_default_backend()  # before TensorFlow, which imports Keras
