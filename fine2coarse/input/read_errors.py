"""What goes wrong while images are read, as one line instead of TensorFlow's trace."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator

from fine2coarse.errors import UsageError


@contextlib.contextmanager
def told_plainly() -> Iterator[None]:
    """Raises again what readers raised inside `tf.data`, which TensorFlow wraps in its own error.

    Raises:
      UsageError: where a reader raised one in the body.
    """
    try:
        yield
    except _errors_of_tensorflow() as error:
        found = re.search(r"UsageError: (.+)", error.message)
        if found is None:
            raise
        raise UsageError(found[1]) from error


def _errors_of_tensorflow() -> tuple[type[Exception], ...]:
    """The root of TensorFlow's errors; none where it is not imported, so cannot raise any."""
    errors = getattr(sys.modules.get("tensorflow"), "errors", None)
    return (errors.OpError,) if errors else ()
