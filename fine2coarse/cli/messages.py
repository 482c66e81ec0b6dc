"""What a program says on its way, shown on standard error; results go to standard output.

The package itself only logs, to loggers below `fine2coarse`: from a notebook they are the user's.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

_LOGGER = "fine2coarse"


class _Shown(logging.Handler):
    """Writes each message as a line, above a progress bar where one is drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one message; the level stands before it where that is more than information."""
        try:
            text = record.getMessage()
            if record.levelno > logging.INFO:
                text = f"{record.levelname.lower()}: {text}"
            bars = sys.modules.get("tqdm")  # where it is not imported, it draws none
            if bars:
                bars.tqdm.write(text, file=sys.stderr)
            else:
                print(text, file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """Shows what the package logs, from INFO on, while the body runs; afterwards all is as before.

    Whatever absl or TensorFlow do with the root logger changes nothing of it.
    """
    logger, handler = logging.getLogger(_LOGGER), _Shown(logging.INFO)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
