"""Steps that were given to the devices and are not done: a few at a time, watched by a thread."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator

import jax

from fine2coarse.training.gate import Gate

# Enough that the devices always have a next step, few enough that batches do not pile up there.
MAX_STEPS = 4


class InFlight:
    """Limits the steps under way and knows since when the devices have had nothing to do.

    The host gives steps to the devices without a wait for their results. Time in which it fetches a
    batch counts as waiting for input only as far as the devices had nothing left to do.
    """

    def __init__(self) -> None:
        self._free = threading.Semaphore(MAX_STEPS)
        self._results: queue.SimpleQueue[jax.Array | None] = queue.SimpleQueue()
        self._num_pending, self._idle_since = 0, time.perf_counter()
        self._lock = threading.Lock()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @contextlib.contextmanager
    def waiting(self, gate: Gate) -> Iterator[None]:
        """Fetches the next batch in the body, once there is room for its step."""
        self._free.acquire()
        started = time.perf_counter()
        try:
            yield
        except BaseException:
            self._free.release()
            raise
        with self._lock:
            ended = time.perf_counter()
            idle_since = ended if self._num_pending else self._idle_since
        gate.waited(max(0.0, ended - max(started, idle_since)))

    def add(self, result: jax.Array) -> None:
        """A step was given to the devices.

        Args:
          result: of the step; no later step may be given it as an argument to be overwritten.
        """
        with self._lock:
            self._num_pending += 1
        self._results.put(result)

    def close(self) -> None:
        """Waits for what is under way and ends the thread."""
        self._results.put(None)
        self._watcher.join()

    def _watch(self) -> None:
        while (result := self._results.get()) is not None:
            with contextlib.suppress(RuntimeError):  # an error is raised where results are read
                result.block_until_ready()
            with self._lock:
                self._num_pending -= 1
                self._idle_since = time.perf_counter()
            self._free.release()
            del result
