"""One run: an arm with a seed, phase by phase, each in a folder of its own.

In: what to train on which images, from which weights. Out: a run folder: recipe, status, metrics,
checkpoints, weights, predictions, `result.json` last. Start with `execution.py`.
"""

from fine2coarse import keras_settings

keras_settings.prefer_tensorflow()  # before TensorFlow, which imports Keras
