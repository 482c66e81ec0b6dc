"""Images left where they are stored: read by their row as they are needed, in parallel.

`window_images` says in which order a training reads them. 0 is the order of images in memory: any
image may follow any other, for disks that read at random places. Else it is the order of
`stream_order`, for buckets and slow disks: long pieces of shards, shuffled within windows.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from fine2coarse.errors import UsageError
from fine2coarse.input.record_reader import RecordPlaces, read_records

# Records in a bucket that lie closer than this are read together: in the time that a request takes
# to begin, more is carried (50 ms at 100 MB/s are 5 MB).
MAX_GAP_BYTES = 1 << 20
# Images that one call reads: few enough to begin soon, many enough to cost little each.
_READ_AT_ONCE, _STREAMED_AT_ONCE = 32, 256
# Calls that read at the same time: they wait for a disk or a bucket more than they compute.
NUM_REQUESTS = 16
_MAX_WAIT_SECONDS = 10.0  # for reads under way, when the program ends


@dataclasses.dataclass(frozen=True, eq=False)
class StoredImages:
    """Encoded images inside records, each the feature `image` of a `tf.train.Example`.

    Attributes:
      places: where the records lie.
      kept: int [N], the records of these images; None for all.
      window_images: images a window of the stream; 0 where they are read at random places.
    """

    places: RecordPlaces
    kept: np.ndarray | None = None
    window_images: int = 0

    dtype = tf.string

    def __len__(self) -> int:
        """Number of images."""
        return len(self.places if self.kept is None else self.kept)

    @property
    def read_at_once(self) -> int:
        """How many images in stored order one call should read."""
        return _STREAMED_AT_ONCE if self.window_images else _READ_AT_ONCE

    def __getitem__(self, row: tf.Tensor) -> tf.Tensor:
        """The encoded image of a row: scalar string; eagerly or inside tf.data."""
        return self.gather(tf.reshape(tf.cast(row, tf.int64), [1]))[0]

    def gather(self, rows: tf.Tensor) -> tf.Tensor:
        """The encoded images of some rows, int64 [n]: string [n]; eagerly or inside tf.data."""
        # Not stateful: under deterministic operations TensorFlow makes every map that holds a
        # stateful operation run one call at a time.
        records = tf.numpy_function(self._read, [rows], tf.string, stateful=False)
        return encoded_images(tf.ensure_shape(records, rows.shape))

    @property
    def _max_gap(self) -> int:
        """From a bucket, near records of a window are read by one request.

        A local file is read record by record, in ascending order: the system reads ahead, and
        nothing is copied out of larger pieces.
        """
        return MAX_GAP_BYTES if self.window_images and self.places.are_remote else 0

    def rows(self, rows: np.ndarray) -> StoredImages:
        """Some of the images, in the order given."""
        return dataclasses.replace(self, kept=rows if self.kept is None else self.kept[rows])

    def shards(self, rows: np.ndarray) -> np.ndarray:
        """Which shard holds each of some images: int [n]."""
        return np.asarray(self.places.shard[rows if self.kept is None else self.kept[rows]])

    def _read(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.records(rows), object)

    def records(self, rows: Sequence[int] | np.ndarray) -> list[bytes]:
        """The records of some rows, in the order given.

        Raises:
          UsageError: where a shard is cut short or missing.
        """
        places = rows if self.kept is None else self.kept[rows]
        with _READS.one():
            return read_records(self.places, places, self._max_gap)


class _Reads:
    """The reads under way, which must have ended before Python does.

    A thread that comes back from a read while Python shuts down cannot take Python's lock any more;
    what waits for that thread, as an iterator does that is let go of, would wait for ever.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count, self._num_refused, self._ending = 0, 0, False

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """A read in the body.

        Raises:
          UsageError: where Python is shutting down.
        """
        with self._changed:
            if self._ending:
                self._num_refused += 1
                raise UsageError("the program is ending, nothing more is read")
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def end(self) -> None:
        """Lets no more reads begin, and waits for those under way; `_MAX_WAIT_SECONDS` at most."""
        began, seen = time.monotonic(), -1
        with self._changed:
            self._ending = True
            self._changed.wait_for(lambda: not self._count, _MAX_WAIT_SECONDS)
        # TensorFlow goes on to ask for images until it holds as many errors as it would images.
        while seen < self._num_refused and time.monotonic() - began < _MAX_WAIT_SECONDS:
            seen = self._num_refused
            time.sleep(0.05)


_READS = _Reads()
atexit.register(_READS.end)


def encoded_images(records: tf.Tensor) -> tf.Tensor:
    """The encoded images inside records: string [n] → string [n]."""
    feature = {"image": tf.io.FixedLenFeature([], tf.string)}
    return tf.io.parse_example(records, feature)["image"]
