"""The theory's two-layer patch network in Keras, trained on the demo dataset's patches.

The demo's images follow the data model of arXiv 2410.23129, but they are pictures: marks are random
patterns, not orthonormal ones, half of the patches are clutter as strong as a faint mark, and
pixels are clipped to 8 bits. The network and its training are those of the laboratory.
"""

from __future__ import annotations

import dataclasses
import functools

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from scipy.special import logsumexp

from fine2coarse import keras_settings
from fine2coarse.errors import UsageError
from fine2coarse.input.examples import Examples
from fine2coarse.labels.sources import level as label_level
from fine2coarse.taxonomy.taxonomy import Taxonomy

keras_settings.pin()

# The demo paints a pattern of variance one as 128 + 48·pattern.
_GREY, _CONTRAST = 128.0, 48.0
READOUTS = {"max": np.max, "logsumexp": logsumexp, "sum": np.sum}


@dataclasses.dataclass(frozen=True)
class PatchTrial:
    """One level of labels; the other values are the laboratory's defaults.

    Raises:
      UsageError: a size that is not positive.
    """

    curve: str
    value: float
    level: str  # of the demo's taxonomy: "superclass", "middle" or "fine"
    num_neurons: int = 1024  # in all, 32 for each of 32 fine classes
    learning_rate: float = 0.02
    batch_size: int = 32
    snapshots: tuple[int, ...] = (25, 50, 100, 200, 400)  # steps after which to measure
    init_std: float = 1e-3  # σ0
    bias_threshold: float = 1.0  # τ
    bias_polylog: float = 5.0  # pl

    def __post_init__(self):
        for name in ("num_neurons", "learning_rate", "batch_size", "bias_polylog"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}: expected more than zero")
        if not self.snapshots or min(self.snapshots) < 1:
            raise UsageError(f"snapshots are {self.snapshots}: expected steps, 1 or more")

    @property
    def num_rows_per_seed(self) -> int:
        """How many rows a seed must yield."""
        return len(set(self.snapshots))


@dataclasses.dataclass(frozen=True, eq=False)
class PatchData:
    """The demo's images as patches float32 [N, P, d], and its hierarchy."""

    train: Examples
    test: Examples
    taxonomy: Taxonomy
    patch_px: int = 8

    def __post_init__(self):
        if self.test.hard is None:
            raise UsageError(
                "the test images are not flagged as easy or hard: use the demo dataset"
            )

    @functools.cached_property
    def train_patches(self) -> np.ndarray:
        """Of the training split."""
        return _patches(self.train, self.patch_px)

    @functools.cached_property
    def test_patches(self) -> np.ndarray:
        """Of the test split."""
        return _patches(self.test, self.patch_px)

    def classes(self, level: str) -> tuple[np.ndarray, np.ndarray]:
        """Of each leaf, and the superclass of each class: int [leaves], int [classes].

        Raises:
          TaxonomyError: an unknown level.
        """
        table = label_level(self.taxonomy, level).table[:, 0]
        superclass = label_level(self.taxonomy, "superclass").table[:, 0]
        first_leaf = np.unique(table, return_index=True)[1]
        return table, superclass[first_leaf]


class PatchNetwork(keras.Model):
    """F_o(X) = Σ_r Σ_p ReLU(⟨w_{o,r}, x_p⟩ + b_{o,r}); the bias falls by ‖Δw_{o,r}‖/pl a step."""

    def __init__(self, num_outputs: int, trial: PatchTrial, seed: int):
        super().__init__()
        if trial.num_neurons % num_outputs:
            raise UsageError(
                f"{trial.num_neurons} neurons cannot be shared equally among {num_outputs} outputs"
            )
        self._num_outputs, self._bias_polylog = num_outputs, trial.bias_polylog
        self.hidden = keras.layers.Dense(
            trial.num_neurons,
            activation="relu",
            kernel_initializer=keras.initializers.RandomNormal(0, trial.init_std, seed=seed),
            bias_initializer=keras.initializers.Constant(-trial.bias_threshold * trial.init_std),
        )

    def call(self, patches):
        """Scores [B, O] of patches [B, P, d]."""
        summed = ops.sum(self.hidden(patches), axis=1)
        return ops.sum(ops.reshape(summed, (-1, self._num_outputs, self._neurons)), axis=-1)

    @property
    def _neurons(self):
        return self.hidden.units // self._num_outputs

    def train_step(self, data):
        """One step of SGD on the weights, then the fall of the bias."""
        patches, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=labels, y_pred=self(patches, training=True))
        kernel = self.hidden.kernel
        gradient = tape.gradient(loss, kernel)
        # Plain SGD: Δw is the gradient times the rate. (The difference of the weights before and
        # after would be zero: a variable read before an update in place may show the new value.)
        step_length = self.optimizer.learning_rate * ops.norm(gradient, axis=0)
        self.optimizer.apply([gradient], [kernel])
        self.hidden.bias.assign_sub(step_length / self._bias_polylog)
        return {"loss": loss}


def run_patch_trial(data: PatchData, trial: PatchTrial, seeds: tuple[int, ...]) -> list[dict]:
    """A row for each seed and snapshot: training loss, superclass errors on easy and hard images.

    Columns as the laboratory's: the readout is the maximum, the log-sum-exp or the sum over the
    classes of a superclass.
    """
    rows = []
    for seed in seeds:
        model = PatchNetwork(len(data.classes(trial.level)[1]), trial, seed)
        for step, loss in _train(model, data, trial, seed):
            if step in trial.snapshots:
                head = {"curve": trial.curve, "value": trial.value, "step": step, "seed": seed}
                rows.append(head | {"train_loss": loss} | _errors(model, data, trial.level))
    return rows


def _train(model, data, trial, seed):
    """Yields each step and its loss, on batches drawn with replacement."""
    labels = data.classes(trial.level)[0][data.train.leaf_labels]
    rng = np.random.default_rng([seed, 0])
    model.compile(
        keras.optimizers.SGD(trial.learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    for step in range(1, max(trial.snapshots) + 1):
        index = rng.integers(len(labels), size=trial.batch_size)
        yield step, float(model.train_on_batch(data.train_patches[index], labels[index]))


def _errors(model, data, level):
    truth = data.classes("superclass")[0][data.test.leaf_labels]
    superclass = data.classes(level)[1]
    scores = model.predict(data.test_patches, batch_size=500, verbose=0)
    errors = {}
    for readout, function in READOUTS.items():
        own = [function(scores[:, superclass == y], axis=-1) for y in range(superclass.max() + 1)]
        wrong = np.argmax(own, 0) != truth
        errors[f"easy_error_{readout}"] = float(wrong[~data.test.hard].mean())
        errors[f"hard_error_{readout}"] = float(wrong[data.test.hard].mean())
    return errors


def _patches(examples, patch_px) -> np.ndarray:
    """Float32 [N, P, d], in units in which a mark of contrast one has norm one."""
    pixels = (np.asarray(examples.images).astype(np.float32) - _GREY) / _CONTRAST
    num, side, _, channels = pixels.shape
    rows = side // patch_px
    grid = pixels.reshape(num, rows, patch_px, rows, patch_px, channels).swapaxes(2, 3)
    flat = grid.reshape(num, rows**2, patch_px**2 * channels)
    return flat / np.sqrt(np.float32(flat.shape[-1]))
