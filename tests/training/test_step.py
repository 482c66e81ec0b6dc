"""A step in several parts is the step on the whole batch, whatever the kind of gradient."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from fine2coarse.recipes.phase_spec import OptimizerSpec, PhaseSpec
from fine2coarse.training.engine import StepSpec
from fine2coarse.training.optimizers import build_optimizer
from fine2coarse.training.tensorflow.step import TrainStep


class Looked(keras.Model):
    """A layer, and a table that is looked up, as a ViT looks up its positions."""

    def __init__(self) -> None:
        super().__init__()
        self.table = keras.layers.Embedding(4, 3, embeddings_initializer="ones")
        self.head = keras.layers.Dense(2, kernel_initializer="identity")

    def call(self, images, training=False):
        places = keras.ops.arange(4)
        return self.head(images * keras.ops.sum(self.table(places), axis=0))


def weights_after_a_step(num_parts: int) -> list[np.ndarray]:
    images = np.random.default_rng(0).random((4, 3), np.float32)
    labels = np.array([[0], [1], [1], [0]])
    phase = PhaseSpec(
        total_steps=1,
        batch_size=4,
        accumulate_steps=num_parts,
        optimizer=OptimizerSpec(learning_rate=0.5),
    )
    model = Looked()
    model(images)
    step = TrainStep(StepSpec(model, build_optimizer(phase.optimizer, 1, model), phase))
    parts = [
        {"image": tf.constant(x), "label": tf.constant(y), "weight": tf.ones([len(x)])}
        for x, y in zip(np.split(images, num_parts), np.split(labels, num_parts), strict=True)
    ]
    tf.distribute.OneDeviceStrategy("CPU:0").run(tf.function(step), args=(parts,))
    return model.get_weights()


def test_a_sparse_gradient_is_summed_over_the_parts():
    whole, halves = weights_after_a_step(1), weights_after_a_step(2)
    for ours, theirs in zip(halves, whole, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.abs(whole[0] - 1).max() > 1e-3  # the table has moved
