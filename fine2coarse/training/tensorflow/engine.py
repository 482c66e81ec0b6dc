"""The engine on TensorFlow: a compiled loop of steps under a `tf.distribute` strategy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fine2coarse.input.batches import Batch, Shard
from fine2coarse.input.examples import on_host
from fine2coarse.input.feeds import Feed
from fine2coarse.training.engine import Row, StepSpec, check_count
from fine2coarse.training.gate import Gate
from fine2coarse.training.placed_images import PlacedImages
from fine2coarse.training.tensorflow.distribution import (
    Agreement,
    compiles_whole_step,
    distribute,
    is_chief,
    is_multi_process,
    runs_ahead,
    wait_for_all,
)
from fine2coarse.training.tensorflow.step import TrainStep


class TensorFlowEngine:
    """Steps under a strategy; see `training.engine.Engine`.

    Args:
      strategy: the process's strategy.
    """

    device_budget_bytes = None

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self.strategy = strategy
        self.num_replicas = strategy.num_replicas_in_sync
        self.is_multi_process = is_multi_process(strategy)
        self.is_chief = is_chief(strategy)
        self.placed_images = PlacedImages(self._place)

    @property
    def is_accelerator(self) -> bool:
        """Whether the devices are GPUs or TPUs."""
        return runs_ahead(self.strategy)

    def scope(self) -> AbstractContextManager:
        """Where models and optimizers are built."""
        return self.strategy.scope()

    def wait_for_all(self) -> None:
        """Waits until every process has come here."""
        wait_for_all(self.strategy)

    @functools.cached_property
    def agree(self) -> Agreement:
        """What the processes agree on between two calls."""
        return Agreement(self.strategy)

    def compiles_whole_step(self, backbone: str) -> bool:
        """Whether to compile the whole train step of a backbone with XLA."""
        return compiles_whole_step(self.strategy, backbone)

    def step_runner(self, spec: StepSpec, feed: Feed, gate: Gate) -> StepRunner:
        """What runs the steps of a training."""
        return StepRunner(self, spec, feed, gate)

    def compile(self, row: Row, model: keras.Model) -> RowFunctions:
        """A function of a batch, compiled once for all feeds that prepare it alike."""
        return RowFunctions(self.strategy, row)

    def run_over(self, compiled: RowFunctions, feed: Feed, num_images: int) -> list[np.ndarray]:
        """Applies a compiled function to every batch; padding is cut off."""
        batches, function = [], compiled.of(feed.prepare)
        images = self.placed_images.of(feed.resident)
        for batch in self.distributed(feed):
            found = function(batch, images)
            batches.append([_gathered(self.strategy, value) for value in found])
        *columns, weights = [np.concatenate(column) for column in zip(*batches, strict=True)]
        seen = weights > 0
        check_count(int(seen.sum()), num_images)
        return [column[seen] for column in columns]

    def distributed(self, feed: Feed) -> Iterable:
        """A feed's batches as the replicas get them."""
        return distribute(self.strategy, lambda shard: _as_dataset(feed.batches, shard))

    def _place(self, images: np.ndarray) -> Any:
        """Images uint8 [N, h, w, 3] on each replica's device."""
        with on_host():
            on_cpu = tf.constant(np.ascontiguousarray(images))
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.identity(on_cpu)
        )


class StepRunner:
    """A compiled loop over an iterator; see `training.engine.StepRunner`."""

    def __init__(self, engine: TensorFlowEngine, spec: StepSpec, feed: Feed, gate: Gate) -> None:
        self._iterator = iter(engine.distributed(feed))
        self._images = engine.placed_images.of(feed.resident)
        self._run = _compiled_loop(engine.strategy, spec, feed.prepare, gate)

    def __call__(self, num_steps: int, loss_sum: float) -> tuple[int, float, int]:
        """Does some steps, or fewer where the gate closes."""
        done, loss_sum, num_good = self._run(
            self._iterator,
            self._images,
            tf.constant(num_steps),
            tf.constant(loss_sum, tf.float32),
        )
        return int(done), float(loss_sum), int(num_good)

    def close(self) -> None:
        """Lets go of the iterator, which ends the reading."""
        self._iterator = self._run = None


def _compiled_loop(
    strategy: tf.distribute.Strategy, spec: StepSpec, prepare: Callable | None, gate: Gate
) -> Callable:
    """The function that runs several steps on the devices."""
    replica_step = _prepared_step(TrainStep(spec), prepare)
    if spec.jit_compile:
        replica_step = tf.function(replica_step, jit_compile=True, reduce_retracing=True)
    num_parts, times_all = spec.phase.accumulate_steps, not runs_ahead(strategy)

    # Where devices run behind the host, nothing below may ask for a number of theirs before
    # the last step: the host would wait for them at each. (Nor may an int32 depend on one:
    # TensorFlow keeps these on the host.)
    @tf.function
    def run_steps(
        iterator: Iterator, images: Any, num_steps: tf.Tensor, loss_sum: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        done, is_good, num_good = tf.constant(0), tf.constant(1.0), tf.constant(0.0)
        for _ in tf.range(num_steps):
            if _on_host(gate.opens):
                parts = [next(iterator) for _ in range(num_parts)]
                if times_all or done == 0:
                    with tf.control_dependencies(_tensors(strategy, parts)):
                        _on_host(gate.has_input)
                loss, norm = strategy.run(replica_step, args=(parts, images))
                loss, norm = _first(strategy, loss), _first(strategy, norm)
                loss_sum += loss
                finite = tf.math.is_finite(loss) & tf.math.is_finite(norm)
                is_good *= tf.cast(finite, tf.float32)
                num_good += is_good
                done += 1
        return done, loss_sum, num_good

    return run_steps


def _prepared_step(step: TrainStep, prepare: Callable | None) -> Callable:
    """The step on parts that are prepared on the device first, where they are to be."""

    @tf.autograph.experimental.do_not_convert
    def prepared(parts: list[Batch], images: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return step([_prepared(prepare, part, images) for part in parts])

    return prepared


def _prepared(prepare: Callable | None, batch: Batch, images: tf.Tensor | None) -> Batch:
    if prepare is None:
        return batch
    gather = None if images is None else (lambda rows: tf.gather(images, rows))
    return prepare(batch, gather)


class RowFunctions:
    """A function of one replica's batch, compiled to run on all replicas; weights come last.

    Args:
      strategy: the process's strategy.
      row: a batch to tensors.
    """

    def __init__(self, strategy: tf.distribute.Strategy, row: Row) -> None:
        self._strategy, self._row = strategy, row
        self._compiled: dict[Any, Callable] = {}

    def of(self, prepare: Callable | None) -> Callable:
        """The function of batches that are prepared like this."""
        if prepare not in self._compiled:
            self._compiled[prepare] = self._compile(prepare)
        return self._compiled[prepare]

    def _compile(self, prepare: Callable | None) -> Callable:
        @tf.function(autograph=False)
        def step(batch: Batch, images: Any) -> tuple[tf.Tensor, ...]:
            def with_weight(batch: Batch, images: tf.Tensor | None) -> tuple[tf.Tensor, ...]:
                prepared = _prepared(prepare, batch, images)
                return (*self._row(prepared), prepared["weight"])

            return self._strategy.run(with_weight, args=(batch, images))

        return step


def _as_dataset(make_batches: Callable[[Shard], Iterable], shard: Shard) -> tf.data.Dataset:
    """A host's batches as a dataset, whose iterators a compiled loop can ask."""
    batches = make_batches(shard)
    if isinstance(batches, tf.data.Dataset):
        return batches
    first = next(iter(make_batches(shard)))
    signature = {name: tf.TensorSpec(value.shape, value.dtype) for name, value in first.items()}
    return tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)


def _gathered(strategy: tf.distribute.Strategy, value: tf.Tensor) -> np.ndarray:
    """The pieces of all replicas, also those of other processes, in the order of the batch."""
    if is_multi_process(strategy):
        return strategy.gather(value, axis=0).numpy()
    return np.concatenate([part.numpy() for part in strategy.experimental_local_results(value)])


def _on_host(ask: Callable[[], np.bool_]) -> tf.Tensor:
    """What a method answers when the graph comes by; determinism refuses `tf.timestamp`."""
    return tf.ensure_shape(tf.numpy_function(ask, [], tf.bool), [])


def _first(strategy: tf.distribute.Strategy, value: tf.Tensor) -> tf.Tensor:
    """A value that is the same on every replica."""
    return strategy.experimental_local_results(value)[0]


def _tensors(strategy: tf.distribute.Strategy, parts: list) -> list[tf.Tensor]:
    return [
        tensor
        for part in parts
        for piece in part.values()
        for tensor in strategy.experimental_local_results(piece)
    ]
