"""From stored records to batches of images and labels.

In: a split of a prepared dataset and a label space. Out: batches {image, label, weight} in an order
that a seed fixes, decoded, cropped and augmented. Start with `feeds.py`.
"""

import importlib
from typing import Any

from fine2coarse import keras_settings
from fine2coarse.input.examples import Examples, load_examples
from fine2coarse.input.shard import Shard

keras_settings.prefer_default_backend()  # before TensorFlow, which imports Keras

__all__ = [
    "Examples",
    "Shard",
    "eval_batches",
    "load_examples",
    "train_batches",
]


def __getattr__(name: str) -> Any:
    """What TensorFlow feeds is imported when it is first asked for: the rest works without it."""
    if name in ("eval_batches", "train_batches"):
        return getattr(importlib.import_module("fine2coarse.input.batches"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
