"""From stored examples to batches."""

from fine2coarse import keras_settings

keras_settings.prefer_tensorflow()  # before TensorFlow, which imports Keras

# ruff: noqa: E402
from fine2coarse.data.batches import Shard, eval_batches, train_batches
from fine2coarse.data.examples import Examples, load_examples, stored_examples
from fine2coarse.data.images import AugmentSpec

__all__ = [
    "AugmentSpec",
    "Examples",
    "Shard",
    "eval_batches",
    "load_examples",
    "stored_examples",
    "train_batches",
]
