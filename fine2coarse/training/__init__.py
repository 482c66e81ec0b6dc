"""The training loop: strategy, schedule, losses, metrics, checkpoints."""

from fine2coarse import keras_settings

keras_settings.prefer_tensorflow()  # before TensorFlow, which imports Keras
