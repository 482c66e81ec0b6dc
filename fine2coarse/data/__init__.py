"""From stored examples to batches."""

from fine2coarse.data.batches import eval_batches, train_batches
from fine2coarse.data.examples import Examples, load_examples
from fine2coarse.data.images import AugmentSpec

__all__ = ["AugmentSpec", "Examples", "eval_batches", "load_examples", "train_batches"]
