"""Where a step runs: one device, several on one machine, several machines, or a TPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import tensorflow as tf
from tensorflow.python.data.ops import multi_device_iterator_ops

from fine2coarse.errors import UsageError
from fine2coarse.input.batches import Shard
from fine2coarse.training.cluster_task import check_strategy, is_multi_worker, read_task

# Families that go through XLA. On the CPU after one look at a plain loop, on the GPU untried:
# docs/training.md. On a TPU all goes through it.
_XLA_FAMILIES = {"CPU": ("vit", "mlp"), "GPU": ("vit", "mlp", "resnet")}


def make_strategy(
    name: str = "auto", num_logical_cpus: int = 0, tpu: str = ""
) -> tf.distribute.Strategy:
    """Makes the process's strategy, and makes its operations deterministic.

    Call once, before any other TensorFlow work.

    Arguments are those of `training.engine.make_engine`.

    Raises:
      UsageError: on an unknown name, logical CPUs wanted after TensorFlow has started, or a
        TF_CONFIG or TPU that is missing or wrong.
    """
    check_strategy(name, tpu)
    if num_logical_cpus > 1:
        _split_cpu(num_logical_cpus)
    tf.config.experimental.enable_op_determinism()
    if name == "tpu" or (name == "auto" and tpu):
        return _tpu(tpu)
    if is_multi_worker(name):
        return _multi_worker()
    gpus = _gpus()
    if name == "one_device" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")
    devices = gpus or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def distribute(
    strategy: tf.distribute.Strategy, make_batches: Callable[[Shard], tf.data.Dataset]
) -> Iterable:
    """The batches for the strategy, each host reading its own part of every batch.

    Args:
      strategy: the process's strategy.
      make_batches: the pieces that a host's replicas get, in order.
    """

    if isinstance(strategy, tf.distribute.OneDeviceStrategy) and not _gpus():
        return make_batches(Shard())  # nothing to copy to another device: a thread and buffer less

    def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
        hosts = context.num_input_pipelines
        pieces = context.num_replicas_in_sync // hosts
        return make_batches(Shard(context.input_pipeline_id, hosts, pieces))

    return _Untuned(strategy.distribute_datasets_from_function(make))


class _Untuned:
    """A distributed dataset whose iterators have no tuning threads (see `input/batches.py`).

    TensorFlow puts a small dataset in front of each replica, which prefetches to its device and
    does not take the options of the dataset behind it.
    """

    def __init__(self, dataset: tf.distribute.DistributedDataset) -> None:
        self._dataset = dataset

    def __iter__(self) -> Iterator:
        with _untuned_replicas():
            return iter(self._dataset)


@contextmanager
def _untuned_replicas() -> Iterator[None]:
    options = tf.data.Options()
    options.autotune.enabled = False
    make = multi_device_iterator_ops._create_device_dataset

    def make_untuned(*arguments: object) -> tf.data.Dataset:
        return make(*arguments).with_options(options)

    multi_device_iterator_ops._create_device_dataset = make_untuned
    try:
        yield
    finally:
        multi_device_iterator_ops._create_device_dataset = make


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Waits until every process of the strategy has come here, e.g. to read what one writes."""
    if is_multi_process(strategy):
        ones = strategy.run(lambda: tf.constant(1.0))
        strategy.reduce(tf.distribute.ReduceOp.SUM, ones, axis=None)


class Agreement:
    """What the processes of a strategy agree on between two calls of the compiled loop.

    Args:
      strategy: the process's strategy.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        @tf.function
        def agreed(wishes: tf.Tensor) -> tf.Tensor:
            return strategy.reduce(
                tf.distribute.ReduceOp.SUM, strategy.run(_own_wishes, args=(wishes,)), axis=None
            )

        self._agreed = agreed if is_multi_process(strategy) else None

    def __call__(self, stop: bool, num_steps: int) -> tuple[bool, int]:
        """All processes call this at the same step.

        Args:
          stop: whether this process wants to stop here.
          num_steps: how many steps it wants to do next, below 2**24.

        Returns:
          Whether any of them wants to stop, and the number of the first.
        """
        if self._agreed is None:
            return stop, num_steps
        stops, first = self._agreed(tf.constant([stop, num_steps], tf.float32)).numpy()
        return bool(stops), int(first)


def _own_wishes(wishes: tf.Tensor) -> tf.Tensor:
    """A replica's part of the sums: the number counts of the first one alone, so it is exact."""
    is_first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
    return wishes * tf.stack([1.0, tf.cast(is_first, tf.float32)])


def runs_ahead(strategy: tf.distribute.Strategy) -> bool:
    """Whether the host gives a step to its devices and goes on before they have done it."""
    return not all("CPU" in device for device in strategy.extended.worker_devices)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files."""
    resolver = strategy.cluster_resolver
    if not is_multi_process(strategy) or resolver is None:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_id == 0 and "chief" not in resolver.cluster_spec().as_dict()
    )


def compiles_whole_step(strategy: tf.distribute.Strategy, backbone: str) -> bool:
    """Whether to compile the whole train step with XLA: by device and family.

    With several replicas the gradients are summed between devices, which only a TPU's compiler
    (always at work there) takes into the step.
    """
    if strategy.num_replicas_in_sync > 1 or is_tpu(strategy):
        return False
    device = "GPU" if _gpus() else "CPU"
    return backbone.startswith(_XLA_FAMILIES[device])


def _gpus() -> list[tf.config.LogicalDevice]:
    return tf.config.list_logical_devices("GPU")


def is_tpu(strategy: tf.distribute.Strategy) -> bool:
    """Whether steps run on a TPU."""
    return isinstance(strategy, tf.distribute.TPUStrategy)


def is_multi_process(strategy: tf.distribute.Strategy) -> bool:
    """Whether several processes do each step together."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _multi_worker() -> tf.distribute.Strategy:
    read_task()
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=tf.distribute.experimental.CommunicationImplementation.AUTO
    )
    return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


def _tpu(name: str) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise UsageError(f"no TPU {name!r} can be reached: {error}") from error
    return tf.distribute.TPUStrategy(resolver)


def _split_cpu(num_logical_cpus: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(num_logical_cpus)]
    try:
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError as error:
        raise UsageError("logical CPUs must be set before TensorFlow starts") from error
