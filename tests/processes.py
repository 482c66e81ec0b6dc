"""Programs in processes of their own, forked from one that has imported TensorFlow already (and
JAX, where the tests run on it).

A fresh Python needs about four seconds to import TensorFlow, a fork none. What a child sees of it
all is a fresh process: its own TensorFlow runtime, arguments, environment, standard streams and
exit code. A test about starting up (imports, KERAS_BACKEND, a console that lacks letters) takes
`subprocess`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import forkserver

from fine2coarse import keras_settings
from tests.forked_program import become

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_SERVER = multiprocessing.get_context("forkserver")
# Nothing here may start TensorFlow's runtime, whose threads a fork would not have, or define
# flags. pytest is what a child would import first: its parent's main module.
_SERVER.set_forkserver_preload(
    ["pytest", "tensorflow", *(["jax"] if keras_settings.backend() == keras_settings.JAX else [])]
    + ["keras", "tensorflow_datasets", "matplotlib.pyplot"]
    + ["fine2coarse.studies.study", "fine2coarse.runs.execution"]
)


def _start_server() -> None:
    """Starts it while tests are collected, before the package starts one for its own purposes."""
    quiet = "TF_CPP_MIN_LOG_LEVEL"  # TensorFlow's C++ part reads it once, on import
    before = os.environ.get(quiet)
    os.environ[quiet] = "3"
    forkserver.ensure_running()
    os.environ.pop(quiet) if before is None else os.environ.update({quiet: before})


_start_server()


class Process:
    """A Python program in a process of its own; the part of `subprocess.Popen` that tests need.

    Args:
      program: path of the program.
      arguments: of the command line.
      environment: all variables that it sees.
      out: file for what it prints; a temporary one unless given.
      merged: whether its errors go where its output goes.
      folder: to run it in.
    """

    def __init__(
        self,
        program: pathlib.Path,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        out: pathlib.Path | None = None,
        merged: bool = False,
        folder: pathlib.Path = _ROOT,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._out = out or pathlib.Path(self._folder.name, "out")
        self._errors = self._out if merged else pathlib.Path(self._folder.name, "errors")
        self.args = [str(program), *arguments]
        for path in (self._out, self._errors):
            path.touch()
        streams = (str(self._out), str(self._errors))
        settings = (self.args, dict(environment), *streams, folder)
        self._process = _SERVER.Process(target=become, args=settings)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """As `Popen.returncode`, but always up to date."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The exit code, None while it runs; the negative number of the signal that ended it."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end and returns the exit code.

        Raises:
          subprocess.TimeoutExpired: where it goes on for longer than `timeout` seconds.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits for its end, as `wait`, and returns what it printed and its errors."""
        self.wait(timeout)
        return self._out.read_text("utf-8"), self._errors.read_text("utf-8")

    def lines(self) -> Iterator[str]:
        """The lines that it prints, each as soon as it is there, up to its end."""
        with self._out.open(encoding="utf-8") as file:
            text, ended = "", False
            while not ended:
                ended = self.poll() is not None
                text += file.read()
                *whole, text = text.split("\n")
                yield from whole
                time.sleep(0.01)

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(program: pathlib.Path, settings: dict, tf_config: dict | None = None) -> Process:
    """Starts `program` on the CPU with its settings as JSON."""
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("TF_CONFIG", None)
    if tf_config:
        environment["TF_CONFIG"] = json.dumps(tf_config)
    return Process(program, [json.dumps(settings)], environment)


def start_workers(program: pathlib.Path, settings: list[dict]) -> list[Process]:
    """Starts a process for each settings, as the workers of one cluster on this machine."""
    sockets = [socket.socket() for _ in settings]
    for free in sockets:
        free.bind(("127.0.0.1", 0))
    workers = [f"127.0.0.1:{free.getsockname()[1]}" for free in sockets]
    for free in sockets:
        free.close()
    return [
        start(
            program, one, {"cluster": {"worker": workers}, "task": {"type": "worker", "index": i}}
        )
        for i, one in enumerate(settings)
    ]
