"""What goes wrong while images are read, as one line instead of TensorFlow's trace."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from fine2coarse.errors import UsageError


@contextlib.contextmanager
def told_plainly() -> Iterator[None]:
    """Raises again what readers raised inside `tf.data`, which TensorFlow wraps in its own error.

    Raises:
      UsageError: where a reader raised one in the body.
    """
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(r"UsageError: (.+)", error.message)
        if found is None:
            raise
        raise UsageError(found[1]) from error
