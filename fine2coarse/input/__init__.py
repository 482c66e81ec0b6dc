"""From stored records to batches of images and labels.

In: a split of a prepared dataset and a label space. Out: batches {image, label, weight} in an order
that a seed fixes, decoded, cropped and augmented. Start with `batches.py`.
"""

from fine2coarse import keras_settings

keras_settings.prefer_tensorflow()  # before TensorFlow, which imports Keras

# ruff: noqa: E402
from fine2coarse.input.batches import Shard, eval_batches, train_batches
from fine2coarse.input.examples import Examples, load_examples

__all__ = [
    "Examples",
    "Shard",
    "eval_batches",
    "load_examples",
    "train_batches",
]
