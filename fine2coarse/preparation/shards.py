"""Second half of a preparation: all spills merged into shuffled shards, written whole."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core import file_adapters
from tensorflow_datasets.core.utils import shard_utils

from fine2coarse.archives.archives import Skip
from fine2coarse.files import replacing
from fine2coarse.preparation.class_rule import ClassRule
from fine2coarse.preparation.spill import SpillIndex, relabelled, relabelled_sizes

REPEATED_ID = "repeated image id"
_TFRECORD_OVERHEAD_BYTES = 16  # length, its checksum, the checksum of the data


@dataclasses.dataclass(frozen=True, eq=False)
class SplitPlan:
    """Where each example of a split comes from, in its final order; N examples.

    Attributes:
      units: int32 [N], position of its spill among the indices.
      rows: int32 [N], position of the example in its spill.
      offsets: int64 [N], where its bytes begin in the spill.
      spill_sizes: int64 [N], how many they are there.
      sizes: int64 [N], how many they are in the shard: others where its label is another.
      labels: int32 [N].
      keys: uint64 [N, 2], hashes of the image ids.
      digests: uint64 [N, 2], what each image shows (`image_checks.content_digest`).
    """

    units: np.ndarray
    rows: np.ndarray
    offsets: np.ndarray
    spill_sizes: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    keys: np.ndarray
    digests: np.ndarray

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return len(self.units)

    def take(self, rows: np.ndarray | slice) -> SplitPlan:
        """The plan of some of the examples."""
        return SplitPlan(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """What the shards will hold.

    Attributes:
      splits: name → plan of the split.
      repeated: examples left out for an earlier one of the same split has their image id.
      duplicates: groups of the names of source files that show the same picture.
      left_out: the images of classes that a rule leaves out, a skip for each class.
      remaining: bool [C], which classes of the source remain, in the order of their new labels;
        None where all do, whose labels are those of the source.
      num_classes_found: classes that have an image, those included that are left out.
    """

    splits: Mapping[str, SplitPlan]
    repeated: tuple[Skip, ...]
    duplicates: tuple[tuple[str, ...], ...]
    left_out: tuple[Skip, ...] = ()
    remaining: np.ndarray | None = None
    num_classes_found: int = 0


SplitRule = Callable[[SplitPlan], Mapping[str, SplitPlan]]
"""Divides the images of units that name no split; they come in shuffled order."""


def make_plan(
    indices: Sequence[SpillIndex],
    split_rule: SplitRule | None,
    class_rule: ClassRule | None = None,
) -> Plan:
    """Puts the examples of all spills into their final order: by the hash of their image id.

    Args:
      indices: of the spills, in an order that does not depend on when each was written.
      split_rule: for the units that name no split.
      class_rule: for the same units, before `split_rule`, which it replaces where it holds out
        images itself.

    Raises:
      NoClassLeft: where `class_rule` leaves none.
    """
    columns = _concatenate(indices)
    order = np.lexsort((columns.units, columns.keys[:, 1], columns.keys[:, 0]))
    splits: dict[str, SplitPlan] = {}
    repeated: list[Skip] = []
    is_kept = np.ones(len(columns.labels), bool)
    chosen = _Chosen()
    for split in dict.fromkeys(index.split for index in indices):
        in_split = np.asarray([index.split == split for index in indices])
        rows = order[in_split[columns.units[order]]]
        keys = columns.keys[rows]
        again = np.zeros(len(rows), bool)
        again[1:] = np.all(keys[1:] == keys[:-1], axis=1)
        repeated += [_repeated(indices, columns, row) for row in rows[again]]
        is_kept[rows[again]] = False
        rows = rows[~again]
        fields = [field.name for field in dataclasses.fields(SplitPlan)]
        plan = SplitPlan(*(getattr(columns, name)[rows] for name in fields))
        if split:
            splits[split] = plan
        elif plan.num_examples and class_rule is None:
            splits |= split_rule(plan)
        elif plan.num_examples:
            chosen = _choose_classes(plan, class_rule)
            is_kept[rows[~chosen.is_kept]] = False
            splits |= _split_by_class(chosen.plan, indices, split_rule, class_rule)
    labels = np.unique(columns.labels)
    return Plan(
        {name: plan for name, plan in splits.items() if plan.num_examples},
        tuple(repeated),
        tuple(_duplicates(indices, columns, is_kept)),
        chosen.left_out,
        chosen.remaining,
        len(labels),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Chosen:
    """What a rule by class leaves of a plan: which examples, and of which classes."""

    plan: SplitPlan | None = None
    is_kept: np.ndarray | None = None
    left_out: tuple[Skip, ...] = ()
    remaining: np.ndarray | None = None


def _choose_classes(plan: SplitPlan, rule: ClassRule) -> _Chosen:
    counts = np.bincount(plan.labels, minlength=len(rule.class_ids))
    remaining = rule.remaining(counts)
    is_kept = remaining[plan.labels]
    if remaining.all():
        return _Chosen(plan, is_kept)
    plan = plan.take(is_kept)
    labels = (np.cumsum(remaining, dtype=np.int32) - 1)[plan.labels]
    sizes = relabelled_sizes(plan.spill_sizes, plan.labels, labels)
    return _Chosen(
        dataclasses.replace(plan, labels=labels, sizes=sizes),
        is_kept,
        tuple(rule.left_out(counts, remaining)),
        remaining,
    )


def _split_by_class(
    plan: SplitPlan, indices: Sequence[SpillIndex], split_rule: SplitRule, rule: ClassRule
) -> Mapping[str, SplitPlan]:
    if rule.num_held_out is None:
        return split_rule(plan)
    held_out = rule.held_out(plan, indices)
    return {"train": plan.take(~held_out), "validation": plan.take(held_out)}


@dataclasses.dataclass(frozen=True, eq=False)
class _Columns:
    keys: np.ndarray
    digests: np.ndarray
    units: np.ndarray
    rows: np.ndarray
    offsets: np.ndarray
    spill_sizes: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray


def _concatenate(indices: Sequence[SpillIndex]) -> _Columns:
    lengths = [len(index.sizes) for index in indices]
    sizes = np.concatenate([index.sizes for index in indices])
    return _Columns(
        keys=np.concatenate([index.shuffle_keys for index in indices]),
        digests=np.concatenate([index.digests for index in indices]),
        units=np.repeat(np.arange(len(indices), dtype=np.int32), lengths),
        rows=np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        offsets=np.concatenate([np.cumsum(index.sizes) - index.sizes for index in indices]),
        spill_sizes=sizes,
        sizes=sizes,
        labels=np.concatenate([index.labels for index in indices]),
    )


def _name(indices: Sequence[SpillIndex], columns: _Columns, row: int) -> str:
    return indices[columns.units[row]].names[columns.rows[row]].decode("utf-8", "replace")


def _repeated(indices: Sequence[SpillIndex], columns: _Columns, row: int) -> Skip:
    image_id = indices[columns.units[row]].image_ids[columns.rows[row]].decode()
    return Skip(_name(indices, columns, row), REPEATED_ID, f"{image_id} stands earlier too")


def _duplicates(
    indices: Sequence[SpillIndex], columns: _Columns, is_kept: np.ndarray
) -> Iterator[tuple[str, ...]]:
    """Groups of files of the same picture within a split that the source names."""
    order = np.lexsort((columns.rows, columns.units, columns.digests[:, 1], columns.digests[:, 0]))
    order = order[is_kept[order]]
    digests = columns.digests[order]
    if not len(digests):
        return
    begins = np.flatnonzero(np.r_[True, np.any(digests[1:] != digests[:-1], axis=1)])
    lengths = np.diff(np.r_[begins, len(digests)])
    for begin, length in zip(begins[lengths > 1], lengths[lengths > 1]):
        rows = order[begin : begin + length]
        by_split: dict[str, list[str]] = {}
        for row in rows:
            split = indices[columns.units[row]].split
            by_split.setdefault(split, []).append(_name(indices, columns, row))
        yield from (tuple(sorted(names)) for names in by_split.values() if len(names) > 1)


@dataclasses.dataclass(frozen=True, eq=False)
class ShardTask:
    """One shard to write; travels to a worker by pickle.

    Attributes:
      path: of the shard.
      file_format: 'tfrecord' or 'array_record'.
      spills: paths of the spills it takes examples from.
      plan: its examples; `units` are positions in `spills`.
      is_relabelled: whether the spills hold other labels than the plan.
    """

    path: str
    file_format: str
    spills: tuple[str, ...]
    plan: SplitPlan
    is_relabelled: bool = False

    @property
    def num_source_bytes(self) -> int:
        """For the progress bar."""
        return int(self.plan.sizes.sum())


def shard_lengths(plan: SplitPlan, config: shard_utils.ShardConfig) -> list[int]:
    """How many examples each shard of a split gets: as many and as even as TFDS makes them."""
    num_shards = config.get_number_shards(int(plan.sizes.sum()), plan.num_examples)
    num_shards = min(num_shards, plan.num_examples)
    bounds = shard_utils.get_shard_boundaries(plan.num_examples, num_shards)
    return [int(length) for length in np.diff([0, *bounds])]


def shard_task(
    path: epath.PathLike,
    file_format: str,
    spills: Sequence[epath.PathLike],
    plan: SplitPlan,
    is_relabelled: bool = False,
) -> ShardTask:
    """A task that names only the spills it needs."""
    needed, positions = np.unique(plan.units, return_inverse=True)
    return ShardTask(
        os.fspath(path),
        file_format,
        tuple(os.fspath(spills[unit]) for unit in needed),
        dataclasses.replace(plan, units=positions.astype(np.int32)),
        is_relabelled,
    )


def write_shard(task: ShardTask) -> None:
    """Writes one shard under another name, checks its size and puts it in its place.

    Raises:
      OSError: where the disk is full or a spill is missing.
      AssertionError: where the file written has not the examples that it should.
    """
    records: list[bytes] = [b""] * task.plan.num_examples
    for position, spill in enumerate(task.spills):
        rows = np.flatnonzero(task.plan.units == position)
        offsets, sizes = task.plan.offsets[rows], task.plan.spill_sizes[rows]
        begin = int(offsets.min())
        with epath.Path(spill).open("rb") as file:
            file.seek(begin)
            block = memoryview(file.read(int((offsets + sizes).max()) - begin))
        for row, offset, size in zip(rows, offsets - begin, sizes):
            record = bytes(block[offset : offset + size])
            if task.is_relabelled:
                record = relabelled(record, int(task.plan.labels[row]))
                if len(record) != task.plan.sizes[row]:
                    raise AssertionError(f"{len(record)} bytes, not {task.plan.sizes[row]}")
            records[row] = record
    path = epath.Path(task.path)
    adapter = file_adapters.ADAPTER_FOR_FORMAT[tfds.core.FileFormat(task.file_format)]
    try:
        with replacing(path) as partial:
            adapter.write_examples(partial, enumerate(records))
            check_shard(partial, task)
    except (OSError, tf.errors.OpError) as error:
        raise as_os_error(error) from error


def check_shard(path: epath.Path, task: ShardTask) -> None:
    """Asserts that a shard holds as many examples, in as many bytes, as its task says.

    Raises:
      AssertionError: where it does not.
    """
    if task.file_format == tfds.core.FileFormat.TFRECORD.value:
        expected = int(task.plan.sizes.sum())
        expected += _TFRECORD_OVERHEAD_BYTES * task.plan.num_examples
        found, what = path.stat().length, "bytes"
    else:
        adapter = file_adapters.ADAPTER_FOR_FORMAT[tfds.core.FileFormat(task.file_format)]
        expected, found, what = task.plan.num_examples, adapter.num_examples(path), "examples"
    if found != expected:
        raise AssertionError(f"{path}: {found} {what}; expected {expected}")


def as_os_error(error: Exception) -> Exception:
    """TensorFlow's error on a full disk as the OSError that it stands for."""
    if isinstance(error, tf.errors.OpError) and "No space left" in str(error):
        return OSError(28, "No space left on device")
    return error
