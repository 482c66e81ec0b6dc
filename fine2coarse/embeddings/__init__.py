"""Embeddings of a dataset's images by any encoder.

In: a prepared dataset and a run, a KerasHub preset, a TF Hub handle or a user's vectors. Out: a
memory-mapped .npy with its image ids beside it. Start with `embedding.py`.
"""

from fine2coarse import keras_settings

keras_settings.prefer_default_backend()  # before TensorFlow, which imports Keras
