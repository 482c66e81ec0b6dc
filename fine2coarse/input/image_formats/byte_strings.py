"""Bytes inside a scalar string tensor, read and built with TensorFlow operations alone."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

BIG, LITTLE = "big", "little"
"""Byte orders: highest or lowest byte first."""

STRING = tf.TensorSpec([], tf.string)
POSITION = tf.TensorSpec([], tf.int64)
_EVERY_BYTE = tuple(bytes([value]) for value in range(256))


def traced_once(*signature: tf.TensorSpec) -> Callable[[Callable[..., Any]], Any]:
    """Decorates a function of tensors that few images need.

    Its graph is made once a process and stays apart from those that call it: an input pipeline
    starts without it, and for an image that does not need it, it costs nothing.
    """

    def traced(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def on_cpu(*tensors: tf.Tensor) -> Any:
            with tf.device("CPU"):  # where strings are; a GPU would only be waited for
                return function(*tensors)

        return tf.function(
            on_cpu,
            autograph=False,
            input_signature=signature,
            experimental_attributes={"_noinline": True},
        )

    return traced


def num_bytes(data: tf.Tensor) -> tf.Tensor:
    """Length of a scalar string: int64."""
    return tf.cast(tf.strings.length(data), tf.int64)


def piece(data: tf.Tensor, start: tf.Tensor | int, size: tf.Tensor | int) -> tf.Tensor:
    """Up to `size` bytes from `start` on: scalar string, shorter where the data end before.

    Args:
      data: scalar string.
      start: int64, not negative; may lie beyond the end.
      size: int64, not negative.
    """
    start = tf.minimum(tf.constant(start, tf.int64) if isinstance(start, int) else start,
                       num_bytes(data))  # fmt: skip
    return tf.strings.substr(data, start, size)


def rest(data: tf.Tensor, start: tf.Tensor | int) -> tf.Tensor:
    """All bytes from `start` on: scalar string."""
    return piece(data, start, num_bytes(data))


def weights(places: list[tuple[int, int]], byte_order: str) -> np.ndarray:
    """What bytes are multiplied with to be numbers.

    Args:
      places: offset and size in bytes of each number.
      byte_order: `BIG` or `LITTLE`.

    Returns:
      int64 [number of bytes, number of places].
    """
    size = max(offset + length for offset, length in places)
    result = np.zeros((size, len(places)), np.int64)
    for column, (offset, length) in enumerate(places):
        powers = 256 ** np.arange(length, dtype=np.int64)
        result[offset : offset + length, column] = powers[:: -1 if byte_order == BIG else 1]
    return result


def numbers(
    data: tf.Tensor, start: tf.Tensor | int, places: list[tuple[int, int]], byte_order: str
) -> list[tf.Tensor]:
    """Unsigned numbers in the data; bytes beyond the end count as 0.

    Args:
      data: scalar string.
      start: int64, position that the places count from.
      places: offset and size in bytes of each number.
      byte_order: `BIG` or `LITTLE`.

    Returns:
      int64 scalars, one a place.
    """
    size = max(offset + length for offset, length in places)
    return tf.unstack(tf.linalg.matvec(weights(places, byte_order).T, _values(data, start, size)))


def number(data: tf.Tensor, start: tf.Tensor | int, size: int, byte_order: str) -> tf.Tensor:
    """One number as `numbers` gives them: int64."""
    return tf.reduce_sum(_values(data, start, size) * weights([(0, size)], byte_order)[:, 0])


def _values(data: tf.Tensor, start: tf.Tensor | int, size: int) -> tf.Tensor:
    """Bytes by their values, int64 [size]; 0 beyond the end."""
    raw = tf.io.decode_raw(piece(data, start, size), tf.uint8, fixed_length=size)
    return tf.cast(raw, tf.int64)


def contains(data: tf.Tensor, text: str) -> tf.Tensor:
    """Whether an ASCII text occurs anywhere: scalar bool."""
    return contains_match(data, re.escape(text))


def contains_match(data: tf.Tensor, *patterns: str) -> tf.Tensor:
    """Whether one of some patterns of RE2 matches anywhere: scalar bool.

    It takes some microseconds a pattern and photograph where each begins with fixed characters.
    """
    without = data
    for pattern in patterns:
        without = tf.strings.regex_replace(without, pattern, "", replace_global=False)
    return tf.strings.length(without) < tf.strings.length(data)


def from_values(values: tf.Tensor) -> tf.Tensor:
    """Bytes by their values, int64 [n] from 0 to 255: scalar string."""
    return tf.strings.reduce_join(tf.gather(tf.constant(_EVERY_BYTE), values))


def from_number(value: tf.Tensor, size: int) -> tf.Tensor:
    """A number int64 as `size` bytes, lowest byte first: scalar string."""
    shifts = 8 * np.arange(size, dtype=np.int64)
    return from_values(tf.bitwise.right_shift(value, shifts) % 256)


def is_one_of(value: tf.Tensor, *wanted: int) -> tf.Tensor:
    """Whether a scalar int64 is one of some numbers: scalar bool."""
    return tf.reduce_any(value == tf.constant(wanted, tf.int64))


def checked(
    tensor: tf.Tensor, holds: tf.Tensor, message: str, *values: tf.Tensor | int
) -> tf.Tensor:
    """The tensor, once a condition holds; else an InvalidArgumentError with message and values.

    What is computed of the result waits for the condition: a decoder never runs without it.
    """
    with tf.control_dependencies([tf.debugging.Assert(holds, [message, *values])]):
        return tf.identity(tensor)
