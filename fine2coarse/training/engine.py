"""The engine of a process: where steps run, on TensorFlow or on JAX, behind one interface.

Losses, optimizers, schedules, the loop and checkpoints are one code. An engine knows what is left:
placing arrays on devices, running several steps there, predictions, and what processes agree on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np

from fine2coarse import keras_settings
from fine2coarse.input.feeds import Feed
from fine2coarse.recipes.phase_spec import PhaseSpec
from fine2coarse.training.cluster_task import check_strategy
from fine2coarse.training.gate import Gate

if TYPE_CHECKING:
    import tensorflow as tf

Row = Callable[[Mapping[str, Any]], tuple[Any, ...]]
"""A batch {image, label, weight} to tensors [B, ...], traced on the devices."""


@dataclasses.dataclass(frozen=True, eq=False)
class StepSpec:
    """What a train step is made of.

    Attributes:
      model: images to logits, built in the engine's scope.
      optimizer: from `build_optimizer`, built for the model.
      phase: loss, batch size, clipping, accumulation.
      jit_compile: whether to compile the whole step with XLA; JAX always does.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    phase: PhaseSpec
    jit_compile: bool = False


class StepRunner(Protocol):
    """Runs steps of one training, each on the next batch of its feed."""

    def __call__(self, num_steps: int, loss_sum: float) -> tuple[int, float, int]:
        """Does some steps, or fewer where the gate closes.

        The model's and the optimizer's variables hold the new state afterwards.

        Args:
          num_steps: how many.
          loss_sum: what the losses are added to, step by step in float32.

        Returns:
          Steps done, the new sum, and how many steps came before the first loss or gradient that
          is not finite.
        """

    def close(self) -> None:
        """Ends the reading of batches; nothing is run any more."""


class Engine(Protocol):
    """Where the steps of this process run; one a process.

    Attributes:
      num_replicas: devices among which each batch is divided, over all processes.
      is_multi_process: whether several processes do each step together.
      is_chief: whether this process is the one that writes files.
      device_budget_bytes: how much of a device may hold images; None where that is not known.
      is_accelerator: whether the devices are GPUs or TPUs.
    """

    num_replicas: int
    is_multi_process: bool
    is_chief: bool
    device_budget_bytes: int | None
    is_accelerator: bool

    def scope(self) -> AbstractContextManager:
        """Where models and optimizers are built."""

    def wait_for_all(self) -> None:
        """Waits until every process has come here, e.g. to read what one writes."""

    def agree(self, stop: bool, num_steps: int) -> tuple[bool, int]:
        """What the processes agree on between two calls; all call this at the same step.

        Args:
          stop: whether this process wants to stop here.
          num_steps: how many steps it wants to do next, below 2**24.

        Returns:
          Whether any of them wants to stop, and the number of the first.
        """

    def compiles_whole_step(self, backbone: str) -> bool:
        """Whether to compile the whole train step of a backbone with XLA, see `StepSpec`."""

    def step_runner(self, spec: StepSpec, feed: Feed, gate: Gate) -> StepRunner:
        """What runs the steps of a training.

        Args:
          spec: of the step.
          feed: its batches, `accumulate_steps` of them a step.
          gate: asked before each step, or each few, and told of waiting.
        """

    def compile(self, row: Row, model: keras.Model) -> Compiled:
        """A function of a batch, compiled once however many splits it is run over."""

    def run_over(self, compiled: Compiled, feed: Feed, num_images: int) -> list[np.ndarray]:
        """Applies a compiled function to every batch; padding is cut off.

        Args:
          compiled: from `compile`.
          feed: from `eval_feed`.
          num_images: N, how many there must be.

        Returns:
          One array [N, ...] for each tensor of the function, in stored order, the same in every
          process.

        Raises:
          RuntimeError: where the batches hold another number of images.
        """


Compiled = Any
"""What an engine makes of a `Row`; only the same engine can run it."""


def make_engine(name: str = "auto", num_logical_cpus: int = 0, tpu: str = "") -> Engine:
    """Makes the process's engine, on the backend that Keras runs on.

    Call once, before any other work on the backend. On TensorFlow this makes its operations
    deterministic; on JAX `backend_start.start_backend` does so, before JAX is imported.

    Args:
      name: 'one_device', 'mirrored' (all GPUs, or all logical CPUs where there is no GPU),
        'multi_worker' (this process is one of those in the environment variable TF_CONFIG),
        'tpu', or 'auto' (multi_worker where TF_CONFIG is set, tpu where `tpu` is given, mirrored
        where there are several GPUs).
      num_logical_cpus: split the CPU into that many logical devices, to try 'mirrored'
        without a GPU; 0 leaves it whole.
      tpu: name of the TPU, or 'local' for one attached to this machine, the only ones on JAX.

    Raises:
      UsageError: on an unknown name, logical CPUs wanted after the backend has started, or a
        TF_CONFIG or TPU that is missing or wrong.
    """
    check_strategy(name, tpu)
    if is_on_jax():
        from fine2coarse.training.jax.devices import make_jax_engine

        return make_jax_engine(name, num_logical_cpus, tpu)
    from fine2coarse.training.tensorflow.distribution import make_strategy
    from fine2coarse.training.tensorflow.engine import TensorFlowEngine

    return TensorFlowEngine(make_strategy(name, num_logical_cpus, tpu))


def as_engine(given: Engine | tf.distribute.Strategy) -> Engine:
    """An engine as it is; a strategy of TensorFlow as the engine that runs on it."""
    if hasattr(given, "step_runner"):
        return given
    from fine2coarse.training.tensorflow.engine import TensorFlowEngine

    return TensorFlowEngine(given)


def choose_jit_compile(engine: Engine, backbone: str) -> bool:
    """Whether to compile the whole train step with XLA: by device and family."""
    return engine.compiles_whole_step(backbone)


def is_on_jax() -> bool:
    """Whether Keras runs on JAX."""
    return keras_settings.backend() == "jax"


def check_count(num_seen: int, num_images: int) -> None:
    """Raises RuntimeError where another number of images was evaluated than there are."""
    if num_seen != num_images:
        raise RuntimeError(f"evaluated {num_seen} images, expected {num_images}")
