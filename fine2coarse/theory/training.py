"""Minibatch SGD with the paper's bias update, and the sources of its batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from fine2coarse.errors import UsageError
from fine2coarse.theory.data import MultiViewData, Samples, draw_samples
from fine2coarse.theory.network import (
    HeadedNetwork,
    Network,
    init_network,
    loss_and_gradient,
    summed_loss_and_gradients,
)


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is initialised and trained.

    Raises:
      UsageError: a value that is not positive (the threshold τ may be zero).
    """

    learning_rate: float = 0.02
    batch_size: int = 32
    num_steps: int = 200
    init_std: float = 1e-3  # σ0
    bias_threshold: float = 1.0  # τ, initial bias is -τσ0
    bias_polylog: float = 5.0  # pl, math.inf keeps the bias constant

    def __post_init__(self):
        for name in ("batch_size", "num_steps"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise UsageError(f"{name} is {value!r}: expected a whole number, 1 or more")
        for name in ("learning_rate", "init_std", "bias_polylog"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}: expected more than zero")
        if not 0 <= self.bias_threshold < math.inf:
            raise UsageError(f"bias_threshold is {self.bias_threshold}: expected zero or more")


def start(
    data: MultiViewData, recipe: TrainingSettings, rngs, num_outputs: int, num_neurons: int
) -> Network:
    """An untrained network for `data`: `num_neurons` in each of `num_outputs` outputs."""
    return init_network(
        rngs,
        num_outputs,
        num_neurons,
        data.num_dimensions,
        recipe.init_std,
        recipe.bias_threshold,
    )


def fresh_batches(
    data: MultiViewData, rngs, batch_size: int, hard_share: float = 0.0
) -> Iterator[Samples]:
    """Endless batches of images never seen before."""
    while True:
        yield draw_samples(data, rngs, batch_size, hard_share)


def fixed_batches(samples: Samples, rngs, batch_size: int) -> Iterator[tuple[Samples, np.ndarray]]:
    """Endless batches, drawn with replacement from n images; with the index [S, B] of each.

    Sampling with replacement is the paper's independent minibatch in the finite-sample case.
    """
    num_samples = samples.leaves.shape[1]
    seed = np.arange(len(rngs))[:, None]
    while True:
        index = np.stack([rng.integers(num_samples, size=batch_size) for rng in rngs])
        yield Samples(samples.patches[seed, index], samples.leaves[seed, index]), index


def train(
    network: Network, batches: Iterable[tuple[np.ndarray, np.ndarray]], recipe: TrainingSettings
) -> Iterator[np.ndarray]:
    """Trains `network` in place; yields each step's loss [S], taken before the step's update.

    batches: pairs of patches [S, B, P, d] and labels [S, B]. Stops after `recipe.num_steps`.
    After each step b_{o,r} falls by ‖Δw_{o,r}‖/pl; the bias has no other update.
    """
    for _, (patches, labels) in zip(range(recipe.num_steps), batches, strict=False):
        loss, change = loss_and_gradient(network, patches, labels)
        change *= -recipe.learning_rate
        _move(network, change, recipe.bias_polylog)
        yield loss


def train_headed(
    network: HeadedNetwork,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    class_to_superclass,
    recipe: TrainingSettings,
    head_learning_rate: float,
    *,
    trains_backbone: bool = True,
) -> Iterator[np.ndarray]:
    """Trains backbone and head in place, with superclass labels; yields losses as `train` does.

    batches: pairs of patches [S, B, P, d] and superclasses [S, B]. A backbone that is not trained
    makes the head a linear probe.
    """
    for _, (patches, superclasses) in zip(range(recipe.num_steps), batches, strict=False):
        loss, change, head_change = summed_loss_and_gradients(
            network, patches, superclasses, class_to_superclass
        )
        head_change *= -head_learning_rate
        network.head[...] += head_change
        if trains_backbone:
            change *= -recipe.learning_rate
            _move(network.backbone, change, recipe.bias_polylog)
        yield loss


def _move(network, change, bias_polylog):
    network.weights[...] += change
    if bias_polylog < math.inf:
        step_length = np.sqrt(np.einsum("somd,somd->som", change, change))
        network.biases[...] -= step_length / bias_polylog
