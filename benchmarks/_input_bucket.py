"""The stream from a bucket, simulated: local shards, where every request takes as long as there."""

from __future__ import annotations

import pathlib
import threading
import time
from collections.abc import Callable
from typing import Any

import _input_sides

LATENCY_SECONDS = 0.05
BYTES_PER_SECOND = 100e6
"""Of one request; several at a time do not slow each other."""


class Bucket:
    """Requests to a bucket, counted.

    Args:
      latency_seconds: before a request's first byte.
      bytes_per_second: from then on.
    """

    def __init__(self, latency_seconds: float, bytes_per_second: float) -> None:
        self._latency, self._speed = latency_seconds, bytes_per_second
        self._lock, self._running = threading.Lock(), 0
        self.num_requests = self.num_bytes = self.most_at_once = 0
        self.seconds = 0.0
        """Of all requests, added up."""

    def wrap(self, read_range: Callable[[str, int, int], bytes]) -> Callable:
        """`read_range` with a request's time."""

        def request(path: str, offset: int, size: int) -> bytes:
            with self._lock:
                self._running += 1
                self.most_at_once = max(self.most_at_once, self._running)
            began = time.perf_counter()
            found = read_range(path, offset, size)
            took = time.perf_counter() - began
            time.sleep(max(0.0, self._latency + size / self._speed - took))
            with self._lock:
                self._running -= 1
                self.num_requests += 1
                self.num_bytes += size
                self.seconds += time.perf_counter() - began
            return found

        return request

    def counts(self) -> tuple[int, int, float]:
        """Requests, bytes and seconds so far."""
        with self._lock:
            return self.num_requests, self.num_bytes, self.seconds


def measure(
    path: pathlib.Path, warm_up_batches: int, num_batches: int, bucket: Bucket
) -> dict[str, Any]:
    """A run of the stream from the bucket: a `Measured`'s fields, and what was requested."""
    from fine2coarse.input import record_reader

    from _sides import timed  # isort: skip

    start = _input_sides.our_side(path, "stream")
    # Requests as to a bucket: near records of a window together.
    record_reader.RecordPlaces.are_remote = True
    record_reader.read_range = bucket.wrap(record_reader.read_range)
    began = time.perf_counter()
    take = start()
    take(1)
    first_batch_seconds = time.perf_counter() - began
    take(warm_up_batches)
    before = bucket.counts()
    found = timed(lambda: take(num_batches), num_batches * _input_sides.BATCH_SIZE)
    requests, num_bytes, seconds = (now - then for now, then in zip(bucket.counts(), before))
    return {
        **found,
        "first_batch_seconds": first_batch_seconds,
        "num_requests": requests,
        "num_bytes": num_bytes,
        "requests_at_once": seconds / found["seconds"],
        "most_requests_at_once": bucket.most_at_once,
    }
