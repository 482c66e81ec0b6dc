"""Training one model: losses, optimizers, schedule, step, loop, checkpoints, evaluation.

In: a model, batches and a `PhaseSpec`. Out: trained weights, checkpoints, progress, predictions.
Start with `loop.py`.
"""

from fine2coarse import keras_settings

keras_settings.prefer_default_backend()  # before TensorFlow, which imports Keras
