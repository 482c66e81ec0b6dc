"""One phase run: a phase, or a trial of one, trained and evaluated in a folder of its own.

In: a `PhaseRun`: what to train on which images, from which weights. Out: its folder: recipe,
status, metrics, checkpoints, weights, predictions, `result.json` last. Start with `execution.py`.
"""

from fine2coarse import keras_settings

keras_settings.prefer_default_backend()  # before TensorFlow, which imports Keras
