"""Datasets as TFDS builders: images stored once, labelled with their leaf.

In: a name and options (`demo`, `folder`, `imagenet21k`, `inat2021`, `tfds`). Out: a
`PreparedDataset`: splits, taxonomy, fingerprint, index. Start with `open.py`.
"""

from fine2coarse import keras_settings

keras_settings.prefer_default_backend()  # before TensorFlow, which imports Keras
