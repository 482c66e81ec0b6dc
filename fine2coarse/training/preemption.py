"""SIGTERM, as spot machines send it: save, and leave with a code of one's own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# EX_TEMPFAIL of sysexits.h: "try again later". A wrapper starts the same command again.
EXIT_PREEMPTED = 75


class Preempted(RuntimeError):
    """Training stopped on request, its state saved; the same command goes on."""


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
