"""SIGTERM, as spot machines send it: save, and end with exit code 75 (`errors.Preempted`)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_termination(request_stop: Callable[[], None]) -> Iterator[None]:
    """Calls `request_stop` when SIGTERM arrives; outside the main thread does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: request_stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
