"""SIGTERM is noticed while the main thread computes, and by the process that it was sent to."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import threading
import time

from fine2coarse.training.preemption import on_termination


def compute() -> float:
    """Keeps the main thread busy outside of Python, where no handler runs; its end."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1_500_000)
    return time.monotonic()


def test_it_is_noticed_while_the_main_thread_computes():
    noticed = []
    with on_termination(lambda: noticed.append(time.monotonic())):
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        ended = compute()
    assert noticed and noticed[0] < ended


def test_what_was_there_before_is_there_after():
    def handler(number, frame):
        raise AssertionError

    before = signal.signal(signal.SIGTERM, handler)
    num_threads = threading.active_count()
    try:
        with on_termination(lambda: None):
            assert signal.getsignal(signal.SIGTERM) is not handler
        assert signal.getsignal(signal.SIGTERM) is handler
        assert threading.active_count() == num_threads
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_signals_go_where_they_went():
    told, tells = socket.socketpair()
    tells.setblocking(False)
    told.settimeout(10)
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    others = signal.set_wakeup_fd(tells.fileno())
    try:
        with on_termination(lambda: None):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGUSR1)
            assert told.recv(8) == bytes([signal.SIGUSR1])
        assert signal.set_wakeup_fd(others) == tells.fileno()
    finally:
        signal.set_wakeup_fd(others)
        signal.signal(signal.SIGUSR1, before)
        told.close()
        tells.close()


def test_the_one_within_is_told_alone():
    outer, inner = [], []
    with on_termination(lambda: outer.append(1)):
        with on_termination(lambda: inner.append(1)):
            os.kill(os.getpid(), signal.SIGTERM)
        assert inner and not outer
        os.kill(os.getpid(), signal.SIGTERM)
    assert outer


def test_a_forked_child_keeps_its_signals_to_itself():
    noticed = []
    with on_termination(lambda: noticed.append(1)):
        child = os.fork()
        if not child:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert not noticed


def test_in_another_thread_it_does_nothing():
    before = signal.getsignal(signal.SIGTERM)
    found = []

    def enter() -> None:
        with on_termination(lambda: None):
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [before]
