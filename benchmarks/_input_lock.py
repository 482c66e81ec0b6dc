"""How long reading an image holds Python's lock, which one thread at a time can have."""

from __future__ import annotations

import os
import pathlib
import threading
import time
from collections.abc import Callable
from typing import Any

import _input_sides

_READS = ("pread", "preadv", "read")
"""Functions of `os` that let go of the lock while the system reads."""
_NUM_REPEATS = 300
_NUM_READS = 20_000


class Meter:
    """CPU time of the Python code that TensorFlow calls, without the reads that release the lock.

    CPU time and no clock on the wall, as nobody holds the lock who waits for it or for the disk.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []
        """Nanoseconds, and images that came back."""
        self.example: tuple[list, Any] | None = None
        """Arguments and result of one call."""
        self._released, self._own_nanoseconds = threading.local(), 0
        self._own_nanoseconds = self._measure_itself()

    def install(self) -> None:
        """From now on, every call from TensorFlow into Python is metered."""
        from tensorflow.python.ops import script_ops

        for name in _READS:
            setattr(os, name, self._releasing(getattr(os, name)))
        registry = script_ops.FuncRegistry  # whose object TensorFlow's C++ calls
        registry.__call__ = self._metered(registry.__call__)

    def _releasing(self, read: Callable) -> Callable:
        def timed(*arguments: Any) -> Any:
            began = time.thread_time_ns()
            found = read(*arguments)
            self._released.total = (
                self._so_far() + time.thread_time_ns() - began + self._own_nanoseconds
            )
            return found

        return timed

    def _measure_itself(self) -> int:
        """Nanoseconds that timing a read costs, beside the read."""

        def nothing() -> None:
            pass

        timed, before = self._releasing(nothing), self._so_far()
        began = time.thread_time_ns()
        for _ in range(_NUM_READS):
            timed()
        spent = time.thread_time_ns() - began - (self._so_far() - before)
        began = time.thread_time_ns()
        for _ in range(_NUM_READS):
            nothing()
        return max(0, (spent - (time.thread_time_ns() - began)) // _NUM_READS)

    def _so_far(self) -> int:
        return getattr(self._released, "total", 0)

    def _metered(self, call: Callable) -> Callable:
        def timed(registry: Any, token: str, device: str, arguments: list) -> Any:
            released, began = self._so_far(), time.thread_time_ns()
            found = call(registry, token, device, arguments)
            used = time.thread_time_ns() - began - (self._so_far() - released)
            num_images = _num_images(found)
            self.calls.append((used, num_images))
            if num_images:
                self.example = arguments, found
            return found

        return timed


def _num_images(result: Any) -> int:
    """Strings in what a call returned: arrays, or a list of them."""
    arrays = result if isinstance(result, list) else [result]
    return sum(array.size for array in arrays if array.dtype.kind in "OS")


def measure(path: pathlib.Path, storage: str, num_batches: int) -> dict[str, float]:
    """Microseconds an image under the lock: in Python's code, and for what is passed in and out.

    The latter is what the same arrays cost on their way from and to eager tensors.
    """
    start = _input_sides.our_side(path, storage)
    meter = Meter()
    meter.install()
    start()(num_batches)
    calls = list(meter.calls)
    num_images = sum(images for _, images in calls)
    if not num_images:
        return {"total_us": 0.0, "code_us": 0.0, "passing_us": 0.0, "images_a_call": 0.0}
    code_us = sum(used for used, _ in calls) / num_images / 1e3
    passing_us = _passing_us(*meter.example)
    return {
        "total_us": code_us + passing_us,
        "code_us": code_us,
        "passing_us": passing_us,
        "images_a_call": num_images / len(calls),
    }


def _passing_us(arguments: list, result: Any) -> float:
    """CPU time an image of arguments from tensors to arrays, and of a result to tensors."""
    import tensorflow as tf

    given = [tf.constant(argument) for argument in arguments]
    returned = result if isinstance(result, list) else [result]
    began = time.thread_time()
    for _ in range(_NUM_REPEATS):
        for tensor in given:
            tensor.numpy()
        for array in returned:
            tf.constant(array)
    return (time.thread_time() - began) / _NUM_REPEATS / _num_images(result) * 1e6
