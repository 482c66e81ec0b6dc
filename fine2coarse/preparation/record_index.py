"""An index of a split beside its records: ids, labels and places of all images, memory-mapped.

Beside the records of a split lie arrays of fixed width, `index-SPLIT-COLUMN.npy`, in stored order,
and `index.json`, written last. With them nothing of 1.3 TB of images is read to know whose they are
and where. Our own preparations write it; of other datasets it is made on first use.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import os
import pathlib
import shutil
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from etils import epath

from fine2coarse.errors import UsageError
from fine2coarse.files import read_json, write_atomic
from fine2coarse.image_ids import ImageIds
from fine2coarse.labels.space import UNREADABLE
from fine2coarse.paths import is_remote

INDEX_NAME = "index.json"
_VERSION = 1
_COLUMNS = ("ids", "labels", "shard", "offset", "size")
_FLAGS = "hard"
# Before a TFRecord's bytes stand their length (8) and its checksum (4), after them theirs (4).
_LENGTH, _TFRECORD_HEADER_BYTES, _TFRECORD_FRAME_BYTES = struct.Struct("<Q"), 12, 16
TFRECORD, ARRAY_RECORD = "tfrecord", "array_record"
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class SplitIndex:
    """Who the images of a split are and where they lie, in stored order, without their pixels.

    Arrays may be memory-mapped: what is not looked at takes no memory.

    Attributes:
      image_ids: N unique ids.
      labels: int32 [N], the leaf label of each.
      hard: bool [N], or None where the dataset does not flag hard images.
      shard: int32 [N], which of the split's files holds each record.
      offset: int64 [N], where the record's bytes begin; in an ArrayRecord file its number.
      size: int32 [N], bytes of the record.
    """

    image_ids: ImageIds
    labels: np.ndarray
    hard: np.ndarray | None
    shard: np.ndarray
    offset: np.ndarray
    size: np.ndarray

    def __post_init__(self) -> None:
        """Checks that all columns are equally long."""
        object.__setattr__(self, "image_ids", ImageIds.of(self.image_ids))
        lengths = {name: len(column) for name, column in self.columns().items()}
        if len(set(lengths.values())) != 1:
            raise AssertionError(f"columns of an index have different lengths: {lengths}")

    def __len__(self) -> int:
        """Number of images."""
        return len(self.image_ids)

    def columns(self) -> dict[str, np.ndarray]:
        """The arrays by the names that their files have."""
        values = (self.image_ids.encoded, self.labels, self.shard, self.offset, self.size)
        found = dict(zip(_COLUMNS, values, strict=True))
        return found if self.hard is None else found | {_FLAGS: self.hard}

    def digest(self) -> str:
        """Hex SHA-256 over all columns, by which a copy is told from that of other data."""
        total = hashlib.sha256()
        for values in self.columns().values():
            total.update(f"{values.dtype.str}\n".encode())
            total.update(np.ascontiguousarray(values))
        return total.hexdigest()

    def take(self, rows: np.ndarray | slice) -> SplitIndex:
        """The index of some of the images: int [M] or a slice."""
        return SplitIndex(
            self.image_ids.subset(rows),
            *(column[rows] if column is not None else None for column in self._others()),
        )

    def moved(self, num_shards: int) -> SplitIndex:
        """The same, where so many other shards stand before its own."""
        if not num_shards:  # as it nearly always is; memory-mapped columns stay so
            return self
        return dataclasses.replace(self, shard=self.shard + np.int32(num_shards))

    def _others(self) -> Sequence[np.ndarray | None]:
        return [self.labels, self.hard, self.shard, self.offset, self.size]


def joined(parts: Sequence[SplitIndex]) -> SplitIndex:
    """The images of several, one after the other; their shards are numbered together already."""
    flags = [part.hard for part in parts]
    return SplitIndex(
        ImageIds.concatenate([part.image_ids for part in parts]),
        np.concatenate([part.labels for part in parts]),
        None if any(flag is None for flag in flags) else np.concatenate(flags),
        np.concatenate([part.shard for part in parts]),
        np.concatenate([part.offset for part in parts]),
        np.concatenate([part.size for part in parts]),
    )


def write_index(folder: epath.PathLike, splits: Mapping[str, SplitIndex]) -> None:
    """Writes the index of all splits beside their records; the JSON last, which marks it as whole.

    Raises:
      OSError: where the folder cannot be written.
    """
    folder = epath.Path(folder)
    for name, split in splits.items():
        for column, values in split.columns().items():
            _write_array(_column_path(folder, name, column), np.asarray(values))
    told = {
        name: {
            "num_examples": len(split),
            "columns": list(split.columns()),
            "digest": split.digest(),
        }
        for name, split in splits.items()
    }
    write_atomic(folder / INDEX_NAME, json.dumps({"version": _VERSION, "splits": told}) + "\n")


def record_places(
    sizes: np.ndarray, shard_lengths: Sequence[int], file_format: str
) -> tuple[np.ndarray, np.ndarray]:
    """Where records lie in shards that hold nothing else: shard int32 [N] and offset int64 [N].

    Args:
      sizes: int [N], bytes of each record, in stored order.
      shard_lengths: records of each shard.
      file_format: 'tfrecord' or 'array_record'; in the latter, offsets count records.
    """
    framed = np.asarray(sizes, np.int64) + _TFRECORD_FRAME_BYTES
    if file_format != TFRECORD:
        framed = np.ones(len(sizes), np.int64)
    begins = np.cumsum(framed) - framed
    lengths = np.asarray(shard_lengths, np.int64)
    firsts = np.minimum(np.cumsum(lengths) - lengths, max(len(sizes) - 1, 0))
    in_shard = begins - np.repeat(begins[firsts] if len(sizes) else begins, lengths)
    if file_format == TFRECORD:
        in_shard += _TFRECORD_HEADER_BYTES
    return np.repeat(np.arange(len(lengths), dtype=np.int32), lengths), in_shard


def scan_tfrecord(path: epath.PathLike) -> np.ndarray:
    """Bytes of each record of a TFRecord file, by their headers alone: int64 [n].

    Raises:
      UsageError: where the file is missing or cut short.
    """
    sizes = []
    path = epath.Path(path)
    try:
        end, position = path.stat().length, 0
        with path.open("rb") as file:
            while position < end:
                header = file.read(_LENGTH.size)
                size = _LENGTH.unpack(header)[0] if len(header) == _LENGTH.size else end
                position += size + _TFRECORD_FRAME_BYTES
                if position > end:
                    raise UsageError(f"{path}: cut short; record {len(sizes)} is not whole")
                sizes.append(size)
                file.seek(position)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error})") from error
    return np.asarray(sizes, np.int64)


def read_index(
    folder: epath.PathLike, num_examples: Mapping[str, int]
) -> dict[str, SplitIndex] | None:
    """The index of all splits, memory-mapped; None where none is stored, or that of other data.

    That of a bucket is copied once to a cache on this machine (`cache_folder`).

    Args:
      folder: of the records.
      num_examples: split → images that it holds.
    """
    folder = epath.Path(folder)
    try:
        stored = read_json(folder / INDEX_NAME)
        told = stored["splits"]
        counts = {name: split["num_examples"] for name, split in told.items()}
        if stored["version"] != _VERSION or counts != dict(num_examples):
            return None
        if is_remote(folder):
            folder = _copied(folder, stored)
        found = {name: _read_split(folder, name, split) for name, split in told.items()}
    except (*UNREADABLE, AttributeError, AssertionError):  # or missing: it is made again
        return None
    lengths = {name: len(split) for name, split in found.items()}
    return found if lengths == dict(num_examples) else None


def cache_folder(folder: epath.PathLike) -> pathlib.Path:
    """Where the index of data is kept whose own folder is remote or cannot be written.

    `$XDG_CACHE_HOME/fine2coarse/index`, which is `~/.cache/…` where that is not set.
    """
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:  # other data in the same folder has an index of its own
        described = (epath.Path(folder) / "dataset_info.json").read_bytes()
    except (OSError, tf.errors.OpError):
        described = b""
    digest = hashlib.sha256(os.fspath(folder).encode() + b"\0" + described).hexdigest()[:20]
    return pathlib.Path(root).expanduser() / "fine2coarse" / "index" / digest


def _read_split(folder: epath.Path, name: str, told: Mapping[str, Any]) -> SplitIndex:
    column = {
        column: _map(_column_path(folder, name, column), int(told["num_examples"]))
        for column in told["columns"]
    }
    return SplitIndex(
        ImageIds(column["ids"]),
        column["labels"],
        column.get(_FLAGS),
        column["shard"],
        column["offset"],
        column["size"],
    )


def _map(path: epath.Path, count: int) -> np.ndarray:
    """An array of a local file; an empty one has nothing to map."""
    found = np.load(os.fspath(path), mmap_mode="r" if count else None, allow_pickle=False)
    return np.asarray(found)  # a view of the mapping, without `np.memmap`'s slow methods


def _copied(folder: epath.Path, stored: Mapping[str, Any]) -> epath.Path:
    """A local copy of a bucket's index; the one made before where it is of the same data."""
    ours = epath.Path(cache_folder(folder))
    marker = ours / INDEX_NAME
    sizes = {
        path.name: path.stat().length
        for name, split in stored["splits"].items()
        for path in (_column_path(folder, name, column) for column in split["columns"])
    }
    if marker.exists() and read_json(marker) == {**stored, "sizes": sizes}:
        return ours
    _log.info("copying the index of %s to %s", folder, ours)
    ours.mkdir(parents=True, exist_ok=True)
    for name in sizes:
        with (folder / name).open("rb") as source:
            copy = functools.partial(shutil.copyfileobj, source, length=1 << 24)
            write_atomic(ours / name, copy)
    write_atomic(marker, json.dumps({**stored, "sizes": sizes}) + "\n")
    return ours


def _write_array(path: epath.Path, values: np.ndarray) -> None:
    write_atomic(path, lambda file: np.lib.format.write_array(file, values, allow_pickle=False))


def _column_path(folder: epath.Path, split: str, column: str) -> epath.Path:
    return folder / f"index-{split}-{column}.npy"
