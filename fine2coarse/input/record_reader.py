"""Bytes of records inside shards: any of them, in any order, without a file left open a shard.

Local files are read by position, by as many threads as call, and of the files only some stay open
(`MAX_OPEN_FILES`, and never more than a part of the process's limit). Where a path is that of an
object store (`gs://`), TensorFlow's file systems read it.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import os
import resource
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from fine2coarse.errors import UsageError
from fine2coarse.paths import is_remote

MAX_OPEN_FILES = 512
TFRECORD, ARRAY_RECORD = "tfrecord", "array_record"
FORMATS = (TFRECORD, ARRAY_RECORD)


@dataclasses.dataclass(frozen=True, eq=False)
class RecordPlaces:
    """Where N records lie.

    Attributes:
      paths: of the shards.
      file_format: 'tfrecord' or 'array_record'.
      shard: int [N], which of the paths holds each record.
      offset: int [N], where the record's bytes begin in a TFRecord file; in an ArrayRecord file
        its number.
      size: int [N], how many bytes it has; a record's own, without what frames it.
    """

    paths: tuple[str, ...]
    file_format: str
    shard: np.ndarray
    offset: np.ndarray
    size: np.ndarray

    def check_readable(self) -> None:
        """Raises UsageError where records of this format cannot be read where they lie."""
        if self.file_format not in FORMATS:
            raise UsageError(
                f"records of the format {self.file_format!r} cannot be read by position, only "
                f"{' and '.join(FORMATS)} can: set dataset.storage=memory where the images fit, or "
                "prepare the dataset again as tfrecord"
            )
        if self.file_format == ARRAY_RECORD and self.are_remote:
            raise UsageError(
                f"{self.paths[0]}: ArrayRecord files are read from local disks alone; prepare the "
                "dataset as tfrecord to stream it from a bucket, or copy it to a local disk"
            )

    @functools.cached_property
    def are_remote(self) -> bool:
        """Whether some lie on another file system, as in a bucket."""
        return any(map(is_remote, self.paths))

    def __len__(self) -> int:
        """Number of records."""
        return len(self.shard)


def read_records(places: RecordPlaces, rows: np.ndarray, max_gap: int = 0) -> list[bytes]:
    """The bytes of some records, in the order asked for.

    Args:
      places: of the records.
      rows: int [M].
      max_gap: records of a TFRecord file that lie no farther apart than this many bytes are read
        together; those between them are read too, and dropped.

    Raises:
      UsageError: where a shard is cut short or missing.
    """
    rows = np.asarray(rows)
    shards, offsets = np.asarray(places.shard[rows]), np.asarray(places.offset[rows], np.int64)
    found: list[bytes] = [b""] * len(rows)
    if places.file_format == ARRAY_RECORD:
        for shard in np.unique(shards):
            members = np.flatnonzero(shards == shard)
            read = _read_array_records(places.paths[shard], offsets[members].tolist())
            for member, record in zip(members.tolist(), read):
                found[member] = record
        return found
    sizes = np.asarray(places.size[rows], np.int64)
    for members in _neighbours(shards, offsets, sizes, max_gap):
        path = places.paths[shards[members[0]]]
        begin = int(offsets[members[0]])
        end = int((offsets[members] + sizes[members]).max())
        block = read_range(path, begin, end - begin)
        if len(block) != end - begin:
            raise UsageError(f"{path}: cut short at byte {begin + len(block)}")
        if len(members) == 1:
            found[members[0]] = block
            continue
        view = memoryview(block)
        for member in members.tolist():
            first = int(offsets[member]) - begin
            found[member] = bytes(view[first : first + int(sizes[member])])
    return found


def _neighbours(
    shards: np.ndarray, offsets: np.ndarray, sizes: np.ndarray, max_gap: int
) -> list[np.ndarray]:
    """Members of each run of records that are read together, by their place in the file."""
    order = np.lexsort((offsets, shards))
    if not max_gap:
        return [order[place : place + 1] for place in range(len(order))]
    ends = offsets[order] + sizes[order]
    apart = offsets[order][1:] - ends[:-1] > max_gap
    apart |= shards[order][1:] != shards[order][:-1]
    return np.split(order, np.flatnonzero(apart) + 1) if len(order) else []


def read_range(path: str, offset: int, size: int) -> bytes:
    """Some bytes of a file; fewer where it ends before.

    Args:
      path: of a local file, or a URL that TensorFlow's file systems know.
      offset: of the first byte.
      size: how many.

    Raises:
      UsageError: where there is no such file, or it cannot be read.
    """
    if is_remote(path):
        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                file.seek(offset)
                return file.read(size)
        except tf.errors.OpError as error:
            raise UsageError(f"{path}: cannot be read ({error.message})") from error
    try:
        with _descriptors().use(path) as descriptor:
            found = os.pread(descriptor, size, offset)
            while len(found) < size:  # a system may read less at a time, as NFS and FUSE do
                more = os.pread(descriptor, size - len(found), offset + len(found))
                if not more:
                    break
                found += more
            return found
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error


def _read_array_records(path: str, numbers: list[int]) -> list[bytes]:
    try:
        with _array_readers().use(path) as reader:
            return reader.read(numbers)
    except (OSError, ValueError, IndexError, RuntimeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from error


class OpenFiles:
    """Files that stay open while they are used, and some of them afterwards; for many threads.

    Args:
      open_file: opens the file of a path.
      close_file: closes it.
      limit: how many may be open and not in use.
    """

    def __init__(
        self, open_file: Callable[[str], Any], close_file: Callable[[Any], None], limit: int
    ) -> None:
        self._open, self._close, self._limit = open_file, close_file, limit
        self._lock = threading.Lock()
        self._idle: collections.OrderedDict[str, list[Any]] = collections.OrderedDict()
        self._num_idle = 0

    @contextlib.contextmanager
    def use(self, path: str) -> Iterator[Any]:
        """An open file that nobody else uses meanwhile."""
        with self._lock:
            waiting = self._idle.get(path)
            file = waiting.pop() if waiting else None
            if waiting is not None and not waiting:
                del self._idle[path]
            self._num_idle -= file is not None
        if file is None:
            file = self._open(path)
        try:
            yield file
        finally:
            with self._lock:
                self._idle.setdefault(path, []).append(file)
                self._idle.move_to_end(path)
                self._num_idle += 1
                oldest = self._pop_oldest() if self._num_idle > self._limit else None
            if oldest is not None:
                self._close(oldest)

    def _pop_oldest(self) -> Any:
        path, waiting = next(iter(self._idle.items()))
        file = waiting.pop()
        if not waiting:
            del self._idle[path]
        self._num_idle -= 1
        return file


def _limit() -> int:
    """How many files may stay open: a quarter of what the process may have."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return MAX_OPEN_FILES
    return max(1, min(MAX_OPEN_FILES, allowed // 4))


@functools.cache
def _descriptors() -> OpenFiles:
    return OpenFiles(lambda path: os.open(path, os.O_RDONLY | os.O_CLOEXEC), os.close, _limit())


@functools.cache
def _array_readers() -> OpenFiles:
    from array_record.python.array_record_module import ArrayRecordReader

    def open_reader(path: str) -> ArrayRecordReader:
        # Without reading ahead: what comes next in the file is not what is asked for next.
        return ArrayRecordReader(path, options="readahead_buffer_size:0")

    return OpenFiles(open_reader, lambda reader: reader.close(), max(1, _limit() // 4))
