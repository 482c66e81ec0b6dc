"""The datasets in front of the replicas have no tuning thread either."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.data.ops import iterator_ops, multi_device_iterator_ops

from fine2coarse.input import Examples, train_batches
from fine2coarse.recipes.phase_spec import AugmentSpec
from fine2coarse.training.tensorflow.distribution import distribute

LABELS = np.zeros((8, 1), np.int32)


def batches(shard) -> tf.data.Dataset:
    examples = Examples(tf.zeros((8, 4, 4, 3), tf.uint8), tuple("abcdefgh"), LABELS[:, 0])
    return train_batches(
        examples, LABELS, batch_size=4, num_steps=3, image_size_px=4,
        augment=AugmentSpec(crop="none"), seed=0, shard=shard,
    )  # fmt: skip


@pytest.fixture
def tuned(monkeypatch) -> list[bool]:
    """Of each dataset that is iterated from now on: whether it has a tuning thread."""
    found = []
    make = iterator_ops.OwnedIterator.__init__

    def noting(self, dataset=None, *args, **kwargs):
        if dataset is not None:
            found.append(dataset.options().autotune.enabled is not False)
        make(self, dataset, *args, **kwargs)

    monkeypatch.setattr(iterator_ops.OwnedIterator, "__init__", noting)
    return found


def test_a_replica_has_none(tuned):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    make = multi_device_iterator_ops._create_device_dataset
    assert len(list(distribute(strategy, batches))) == 3
    assert tuned == [False]
    assert multi_device_iterator_ops._create_device_dataset is make
    # TensorFlow's own: what this is here for.
    list(strategy.distribute_datasets_from_function(lambda context: tf.data.Dataset.range(3)))
    assert tuned == [False, True]


def test_without_replicas_there_is_no_dataset_in_front(tuned):
    found = distribute(tf.distribute.OneDeviceStrategy("CPU:0"), batches)
    assert isinstance(found, tf.data.Dataset) and len(list(found)) == 3
    assert tuned == [False]
