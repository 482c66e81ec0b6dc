"""The engine on JAX: jitted steps over a mesh of devices, several before the host looks back."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fine2coarse.input.feeds import Feed
from fine2coarse.input.shard import Shard
from fine2coarse.training.engine import Row, StepSpec, check_count
from fine2coarse.training.gate import Gate
from fine2coarse.training.jax.in_flight import InFlight
from fine2coarse.training.jax.resident import gatherer, place_images
from fine2coarse.training.jax.step import State, TrainStep, Variables, repeated
from fine2coarse.training.placed_images import PlacedImages

# Axis of the mesh, along which batches are divided. Weights are the same on every device.
BATCH = "batch"
# Steps on images that lie on the devices which one call does there, where that is an accelerator.
# (On the CPU XLA computes convolutions in a loop on one core.)
STEPS_PER_CALL = 64
# Share of a device's memory that images may take.
_IMAGES_SHARE = 0.4


class JaxEngine:
    """Steps over some devices; see `training.engine.Engine`.

    Args:
      devices: those of all processes.
    """

    def __init__(self, devices: Sequence[jax.Device]) -> None:
        self.mesh = Mesh(np.asarray(devices), (BATCH,))
        self.num_replicas = len(devices)
        self.num_processes = len({device.process_index for device in devices})
        self.is_multi_process = self.num_processes > 1
        self.is_chief = not self.is_multi_process or jax.process_index() == 0
        self.is_accelerator = devices[0].platform != "cpu"
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self.placed_images = PlacedImages(functools.partial(place_images, self.mesh))

    @property
    def device_budget_bytes(self) -> int | None:
        """How much of a device may hold images; None where that is not known."""
        stats = self.mesh.local_devices[0].memory_stats() or {}
        limit = stats.get("bytes_limit")
        return None if limit is None else int(_IMAGES_SHARE * limit) * self.num_replicas

    def scope(self) -> AbstractContextManager:
        """Where models and optimizers are built; JAX needs none."""
        return contextlib.nullcontext()

    def wait_for_all(self) -> None:
        """Waits until every process has come here."""
        if self.is_multi_process:
            multihost_utils.sync_global_devices("fine2coarse")

    def agree(self, stop: bool, num_steps: int) -> tuple[bool, int]:
        """What the processes agree on between two calls."""
        if not self.is_multi_process:
            return stop, num_steps
        wishes = multihost_utils.process_allgather(np.array([stop, num_steps], np.int32))
        return bool(wishes[:, 0].any()), int(wishes[0, 1])

    def compiles_whole_step(self, backbone: str) -> bool:
        """Always: JAX compiles the step with XLA."""
        return True

    def step_runner(self, spec: StepSpec, feed: Feed, gate: Gate) -> StepRunner:
        """What runs the steps of a training."""
        return StepRunner(self, spec, feed, gate)

    def compile(self, row: Row, model: keras.Model) -> RowFunctions:
        """A function of a batch, compiled once for all feeds that prepare it alike."""
        return RowFunctions(self, row, model)

    def run_over(self, compiled: RowFunctions, feed: Feed, num_images: int) -> list[np.ndarray]:
        """Applies a compiled function to every batch; padding is cut off."""
        images, found = self.placed_images.of(feed.resident), []
        values = self.placed([variable.value for variable in compiled.variables])
        with contextlib.closing(self.host_batches(feed)) as batches:
            for batch in batches:
                results = compiled.of(feed.prepare)(values, self.placed_batch(batch), images)
                found.append(results)
                if len(found) > 2:  # the devices are no more than two batches behind
                    found[-3] = [np.asarray(value) for value in found[-3]]
        *columns, weights = [np.concatenate(column) for column in zip(*found, strict=True)]
        seen = weights > 0
        check_count(int(seen.sum()), num_images)
        return [column[seen] for column in columns]

    def host_batches(self, feed: Feed) -> Iterator[Mapping[str, np.ndarray]]:
        """This process's part of each batch, as arrays of NumPy; to be closed after use."""
        index = jax.process_index() if self.is_multi_process else 0
        batches = feed.batches(Shard(index, self.num_processes))
        if hasattr(batches, "as_numpy_iterator"):  # TensorFlow's pipelines
            batches = batches.as_numpy_iterator()
        batches = iter(batches)
        try:
            yield from batches
        finally:
            if hasattr(batches, "close"):
                batches.close()

    def placed_batch(self, batch: Mapping[str, np.ndarray], axis: int = 0) -> dict[str, jax.Array]:
        """A process's part of a batch, divided among its devices along an axis."""
        sharding = NamedSharding(self.mesh, PartitionSpec(*[None] * axis, BATCH))
        if self.is_multi_process:
            put = functools.partial(jax.make_array_from_process_local_data, sharding)
            return {name: put(value) for name, value in batch.items()}
        return jax.device_put(dict(batch), sharding)

    def placed(self, values: Sequence[Any]) -> list[jax.Array]:
        """Values on every device; those that are there stay."""
        return [self._placed(value) for value in values]

    def _placed(self, value: Any) -> jax.Array:
        if isinstance(value, jax.Array) and value.sharding == self.replicated:
            return value
        if not self.is_multi_process:
            return jax.device_put(value, self.replicated)
        on_host = np.asarray(value)
        return jax.make_array_from_callback(
            on_host.shape, self.replicated, lambda index: on_host[index]
        )


class StepRunner:
    """Steps dispatched one after another; see `training.engine.StepRunner`.

    Args:
      engine: whose devices.
      spec: of the step.
      feed: its batches.
      gate: asked before each call of the devices.
      steps_per_call: how many steps one call does; by default one, or `STEPS_PER_CALL` of them
        where images lie on an accelerator.
    """

    def __init__(
        self,
        engine: JaxEngine,
        spec: StepSpec,
        feed: Feed,
        gate: Gate,
        steps_per_call: int | None = None,
    ) -> None:
        self._engine, self._gate, self._num_parts = engine, gate, spec.phase.accumulate_steps
        if steps_per_call is None:
            on_device = feed.resident is not None and engine.is_accelerator
            steps_per_call = STEPS_PER_CALL if on_device else 1
        self._steps_per_call = steps_per_call
        self._variables = Variables(spec.model, spec.optimizer)
        self._images = engine.placed_images.of(feed.resident)
        prepare = prepared_by(engine.mesh, feed.prepare)
        step = TrainStep(spec, prepare)
        step = step if steps_per_call == 1 else repeated(step)
        self._step = jax.jit(step, donate_argnums=0, out_shardings=engine.replicated)
        self._batches = engine.host_batches(feed)
        self._in_flight = InFlight()

    def __call__(self, num_steps: int, loss_sum: float) -> tuple[int, float, int]:
        """Does some steps, or fewer where the gate closes."""
        engine, done = self._engine, 0
        state: State = tuple(map(engine.placed, self._variables.values()))
        totals = engine.placed([np.float32(loss_sum), np.bool_(True), np.int32(0)])
        try:
            while done < num_steps and self._gate.opens():
                count = min(num_steps - done, self._steps_per_call)
                with self._in_flight.waiting(self._gate):
                    arguments = self._next(count)
                state, totals = self._step(state, totals, *arguments, self._images)
                self._in_flight.add(totals[2])
                done += count
        finally:
            self._variables.assign(state)
        loss_sum, _, num_good = map(np.asarray, totals)
        return done, float(loss_sum), int(num_good)

    def close(self) -> None:
        """Ends the reading of batches."""
        self._batches.close()
        self._in_flight.close()

    def _next(self, count: int) -> tuple[Any, ...]:
        """What the next steps are given: their batches and, of several, how many they are."""
        parts = [next(self._batches) for _ in range(count * self._num_parts)]
        if self._steps_per_call == 1:
            return ([self._engine.placed_batch(part) for part in parts],)
        # Always of one shape, so that one program does any number of steps.
        padding = [parts[-1]] * ((self._steps_per_call - count) * self._num_parts)
        steps = [*parts, *padding]
        stacked = [
            self._engine.placed_batch(_stacked(steps[part :: self._num_parts]), axis=1)
            for part in range(self._num_parts)
        ]
        return stacked, np.int32(count)


class RowFunctions:
    """A function of a batch, jitted to run over all devices; weights come last.

    Args:
      engine: whose devices.
      row: a batch to tensors.
      model: whose variables the function reads.
    """

    def __init__(self, engine: JaxEngine, row: Row, model: keras.Model) -> None:
        self._engine, self._row, self.variables = engine, row, list(model.variables)
        self._compiled: dict[Any, Callable] = {}

    def of(self, prepare: Callable | None) -> Callable:
        """The function of batches that are prepared like this."""
        if prepare not in self._compiled:
            self._compiled[prepare] = self._compile(prepared_by(self._engine.mesh, prepare))
        return self._compiled[prepare]

    def _compile(self, prepare: Callable) -> Callable:
        def function(
            values: list[jax.Array], batch: dict[str, jax.Array], images: jax.Array | None
        ) -> tuple[jax.Array, ...]:
            mapping = list(zip(self.variables, values, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                prepared = prepare(batch, images)
                return (*self._row(prepared), prepared["weight"])

        return jax.jit(function, out_shardings=self._engine.replicated)


def prepared_by(mesh: Mesh, prepare: Callable | None) -> Callable:
    """What a step does with a batch first; images that lie on the devices are gathered then."""

    def prepared(batch: dict[str, jax.Array], images: jax.Array | None) -> Mapping[str, jax.Array]:
        if prepare is None:
            return batch
        return prepare(batch, None if images is None else gatherer(mesh, images))

    return prepared


def _stacked(batches: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
