"""Images left on disk: any image of a prepared split by its row, so order and restarts are exact.

A split that does not fit in memory is read by position, as one in memory is: position p of the
stream is the same image in both. No shuffle buffer has to be refilled after a restart, and each
host reads the rows of its own part and no others. It wants a disk that is good at random reads (a
local SSD); from an object store, copy the shards first.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import struct
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fine2coarse.errors import UsageError

# A TFRecord is: length (uint64), checksum of it (uint32), the bytes, their checksum (uint32).
_HEADER, _CHECKSUM_BYTES = struct.Struct("<QI"), 4


@dataclasses.dataclass(frozen=True, eq=False)
class StoredImages:
    """Encoded images inside TFRecord shards.

    Attributes:
      paths: of the shards.
      shard: int32 [N], which one holds each image's record.
      offset: int64 [N], where the record's bytes begin.
      size: int64 [N], how many they are.
    """

    paths: tuple[str, ...]
    shard: np.ndarray
    offset: np.ndarray
    size: np.ndarray

    dtype = tf.string

    @classmethod
    def index(cls, paths: Sequence[str | os.PathLike]) -> StoredImages:
        """Finds all records, reading their headers alone.

        Raises:
          UsageError: where a shard is cut short, or lies on another file system.
        """
        remote = [str(path) for path in paths if "://" in str(path)]
        if remote:
            raise UsageError(
                f"images are read at random places, too slowly from {remote[0]}: copy the prepared "
                "data to a local disk, or set dataset.storage=memory where it fits"
            )
        found = [_record_places(pathlib.Path(path)) for path in paths]
        shard = np.repeat(np.arange(len(found), dtype=np.int32), [len(rows) for rows in found])
        places = np.concatenate([np.zeros((0, 2), np.int64), *found])
        return cls(tuple(map(str, paths)), shard, places[:, 0], places[:, 1])

    def __len__(self) -> int:
        """Number of images."""
        return len(self.shard)

    def __getitem__(self, row: tf.Tensor) -> tf.Tensor:
        """The encoded image of a row: scalar string; inside tf.data."""
        record = tf.numpy_function(self._read, [row], tf.string)
        parsed = tf.io.parse_single_example(
            tf.ensure_shape(record, []), {"image": tf.io.FixedLenFeature([], tf.string)}
        )
        return parsed["image"]

    def rows(self, rows: np.ndarray) -> StoredImages:
        """Some of the images, in the order given."""
        return StoredImages(self.paths, self.shard[rows], self.offset[rows], self.size[rows])

    def _read(self, row: int) -> bytes:
        place, size = int(self.offset[row]), int(self.size[row])
        found = os.pread(_descriptor(self.paths[self.shard[row]]), size, place)
        if len(found) != size:
            raise UsageError(f"{self.paths[self.shard[row]]}: cut short at byte {place}")
        return found


@functools.cache
def _descriptor(path: str) -> int:
    """Shards stay open as long as the process: there are at most a few thousand."""
    return os.open(path, os.O_RDONLY)


def _record_places(path: pathlib.Path) -> np.ndarray:
    """Offset and size of each record: int64 [n, 2]."""
    places, end = [], path.stat().st_size
    with path.open("rb") as file:
        position = 0
        while position < end:
            header = file.read(_HEADER.size)
            size = _HEADER.unpack(header)[0] if len(header) == _HEADER.size else end
            start = position + _HEADER.size
            position = start + size + _CHECKSUM_BYTES
            if position > end:
                raise UsageError(f"{path}: record at byte {start} reaches beyond the file's end")
            places.append((start, size))
            file.seek(position)
    return np.asarray(places, np.int64).reshape(-1, 2)
