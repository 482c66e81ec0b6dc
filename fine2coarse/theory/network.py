"""The two-layer patch network of arXiv 2410.23129 and its gradient, for many seeds at once.

F_o(X) = Σ_r Σ_p ReLU(⟨w_{o,r}, x_p⟩ + b_{o,r}), second layer frozen at one. A transfer trains the
second layer too: `HeadedNetwork`. Every array has the seeds as its first axis S; one seed's numbers
do not depend on the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fine2coarse.errors import UsageError


@dataclass(frozen=True)
class Network:
    """Weights [S, O, m, d] and biases [S, O, m] of O outputs with m neurons each."""

    weights: np.ndarray
    biases: np.ndarray

    def copy(self) -> Network:
        """A network that further training of this one does not touch."""
        return Network(self.weights.copy(), self.biases.copy())

    def regroup(self, num_outputs: int) -> Network:
        """The same neurons, in the same order, summed into fewer (or more) outputs.

        Fine neurons regrouped by superclass give the network that fine-tuning starts from.

        Raises:
          UsageError: the neurons cannot be shared out equally.
        """
        seeds, outputs, neurons, dimensions = self.weights.shape
        each = neurons_per_output(outputs * neurons, num_outputs)
        return Network(
            self.weights.reshape(seeds, num_outputs, each, dimensions),
            self.biases.reshape(seeds, num_outputs, each),
        )


@dataclass(frozen=True)
class HeadedNetwork:
    """A backbone under a head [S, C, O·m]: F_c(X) = Σ_{o,r} head_{c,(o,r)} Σ_p ReLU(…).

    The backbone keeps the outputs o that it was pretrained with, as the groups of its neurons; the
    head may have other classes c.
    """

    backbone: Network
    head: np.ndarray

    def copy(self) -> HeadedNetwork:
        """A network that further training of this one does not touch."""
        return HeadedNetwork(self.backbone.copy(), self.head.copy())


def summing_head(network: Network, num_classes: int) -> np.ndarray:
    """The frozen second layer of `network.regroup(num_classes)` as a head [S, C, O·m]: 0 and 1.

    Raises:
      UsageError: the neurons cannot be shared out equally.
    """
    seeds, outputs, neurons, _ = network.weights.shape
    each = neurons_per_output(outputs * neurons, num_classes)
    head = np.repeat(np.eye(num_classes, dtype=network.weights.dtype), each, axis=1)
    return np.repeat(head[None], seeds, axis=0)


def random_head(rngs, num_classes: int, num_neurons: int, std: float, dtype=np.float32):
    """A head [S, C, num_neurons] ~ N(0, std²)."""
    shape = (num_classes, num_neurons)
    return dtype(std) * np.stack([rng.standard_normal(shape, dtype=dtype) for rng in rngs])


def neurons_per_output(num_neurons: int, num_outputs: int) -> int:
    """The equal share of each output.

    Raises:
      UsageError: the neurons cannot be shared out equally, or there are fewer than outputs.
    """
    if num_outputs < 1 or num_neurons < num_outputs or num_neurons % num_outputs:
        raise UsageError(
            f"{num_neurons} neurons cannot be shared equally among {num_outputs} outputs: take a "
            f"multiple of {num_outputs} neurons, or another number of classes"
        )
    return num_neurons // num_outputs


def init_network(
    rngs, num_outputs, num_neurons, num_dimensions, init_std, threshold, dtype=np.float32
) -> Network:
    """w ~ N(0, σ0²) and b = -τσ0, with σ0 = `init_std`, τ = `threshold`, m = `num_neurons`."""
    shape = (num_outputs, num_neurons, num_dimensions)
    weights = np.stack([rng.standard_normal(shape, dtype=dtype) for rng in rngs])
    weights *= dtype(init_std)
    return Network(weights, np.full(weights.shape[:-1], -threshold * init_std, dtype))


def logits(network: Network, patches: np.ndarray) -> np.ndarray:
    """F(X) for patches [S, n, P, d]: an array [S, n, O]."""
    return _sum_to_outputs(_activations(network, patches), network, patches)


def hidden_features(network: Network, patches: np.ndarray) -> np.ndarray:
    """Σ_p ReLU(⟨w_{o,r}, x_p⟩ + b_{o,r}), the hidden layer summed over patches: [S, n, O·m]."""
    return _sum_over_patches(_activations(network, patches), patches)


def loss_and_gradient(network: Network, patches: np.ndarray, labels: np.ndarray):
    """Mean softmax cross-entropy [S] and its gradient in the weights [S, O, m, d].

    patches [S, n, P, d]; labels int [S, n]. The bias is not trained by the gradient.
    """
    seeds, num_samples, num_patches, dimensions = patches.shape
    outputs = network.weights.shape[1]
    active = _activations(network, patches)
    scores = _sum_to_outputs(active, network, patches)
    log_probabilities = scores - log_sum_exp(scores)
    picked = labels[..., None]
    loss = -np.take_along_axis(log_probabilities, picked, -1)[..., 0].mean(-1)
    error = np.exp(log_probabilities)
    error -= np.arange(outputs) == picked
    error /= num_samples
    # ReLU passes the output's error on to each patch on which the neuron is active.
    shape = (seeds, num_samples, num_patches, outputs, -1)
    np.multiply(active.reshape(shape) > 0, error[:, :, None, :, None], out=active.reshape(shape))
    flat = patches.reshape(seeds, -1, dimensions)
    return loss, (active.swapaxes(1, 2) @ flat).reshape(network.weights.shape)


def summed_loss_and_gradients(
    network: HeadedNetwork, patches: np.ndarray, superclasses: np.ndarray, class_to_superclass
):
    """Mean cross-entropy [S] of summed probabilities; its gradients in the backbone and the head.

    The log-probability of superclass y is log Σ_{c in y} softmax(F)_c. With one class for each
    superclass that is the ordinary softmax cross-entropy. patches [S, n, P, d]; superclasses int
    [S, n]; class_to_superclass int [C].
    """
    seeds, num_samples, num_patches, dimensions = patches.shape
    active = _activations(network.backbone, patches)
    hidden = _sum_over_patches(active, patches)
    scores = hidden @ network.head.swapaxes(1, 2)
    log_probabilities = scores - log_sum_exp(scores)
    member = np.asarray(class_to_superclass) == superclasses[..., None]
    within = np.where(member, log_probabilities, -np.inf)
    log_summed = log_sum_exp(within)
    # The target of a class is its probability, given the superclass.
    error = (np.exp(log_probabilities) - np.exp(within - log_summed)) / num_samples
    head_gradient = error.swapaxes(1, 2) @ hidden
    shape = (seeds, num_samples, num_patches, -1)
    passed_on = (error @ network.head)[:, :, None]
    np.multiply(active.reshape(shape) > 0, passed_on, out=active.reshape(shape))
    gradient = active.swapaxes(1, 2) @ patches.reshape(seeds, -1, dimensions)
    loss = -log_summed[..., 0].mean(-1)
    return loss, gradient.reshape(network.backbone.weights.shape), head_gradient


def log_sum_exp(scores: np.ndarray) -> np.ndarray:
    """ln Σ exp over the last axis, which is kept; -inf entries count as absent."""
    largest = scores.max(-1, keepdims=True)
    return largest + np.log(np.exp(scores - largest).sum(-1, keepdims=True))


def _activations(network, patches):
    """ReLU(⟨w, x_p⟩ + b), [S, n·P, O·m]."""
    seeds, _, _, dimensions = patches.shape
    weights = network.weights.reshape(seeds, -1, dimensions)
    active = patches.reshape(seeds, -1, dimensions) @ weights.swapaxes(1, 2)
    active += network.biases.reshape(seeds, 1, -1)
    return np.maximum(active, 0, out=active)


def _sum_over_patches(active, patches):
    seeds, num_samples, num_patches, _ = patches.shape
    return active.reshape(seeds, num_samples, num_patches, -1).sum(2)


def _sum_to_outputs(active, network, patches):
    hidden = _sum_over_patches(active, patches)
    return hidden.reshape(*hidden.shape[:2], network.weights.shape[1], -1).sum(-1)
