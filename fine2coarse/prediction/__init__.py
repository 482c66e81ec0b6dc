"""Classifying photographs with a finished run or an export, with the model's own preprocessing.

In: a folder of a phase or an export; image files. Out: probabilities, records of the best classes,
feature vectors. Start with `loaded_model.py`.
"""

from fine2coarse import keras_settings

keras_settings.prefer_default_backend()  # before TensorFlow, which imports Keras
