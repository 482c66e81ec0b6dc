"""SIGTERM, as spot machines send it: save, and end with exit code 75 (`errors.Preempted`)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_ours: set[int] = set()  # descriptors that signals are told to


@contextmanager
def on_termination(request_stop: Callable[[], None]) -> Iterator[None]:
    """Calls `request_stop` when SIGTERM arrives; outside the main thread does nothing.

    It is called at once and from a thread, perhaps a second time from the main one: Python runs a
    handler in the main thread alone, which waits for as long as TensorFlow computes.

    Args:
      request_stop: must be safe to call from any thread, and twice.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told, tells = socket.socketpair()
    tells.setblocking(False)
    before = signal.signal(signal.SIGTERM, lambda number, frame: request_stop())
    _ours.add(tells.fileno())
    others = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(told, request_stop, others), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(others)
        signal.signal(signal.SIGTERM, before)
        _ours.discard(tells.fileno())
        tells.close()  # which ends the thread
        watcher.join()
        told.close()


def _watch(told: socket.socket, request_stop: Callable[[], None], others: int) -> None:
    """Waits for signals, told as bytes by their numbers; passes on all but SIGTERM."""
    while numbers := told.recv(64):
        if signal.SIGTERM in numbers:
            request_stop()
        rest = bytes(number for number in numbers if number != signal.SIGTERM)
        if rest and others >= 0:
            with contextlib.suppress(OSError):
                os.write(others, rest)


def _forget_parent() -> None:
    """A forked child must not tell its parent of signals that it gets itself."""
    if _ours:
        before = signal.set_wakeup_fd(-1)
        if before not in _ours:
            signal.set_wakeup_fd(before)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_parent)
