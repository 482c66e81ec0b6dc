"""Starting a test's own program in a process of its own, perhaps as one of several workers."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys

_ROOT = pathlib.Path(__file__).resolve().parents[1]


def start(program: pathlib.Path, settings: dict, tf_config: dict | None = None) -> subprocess.Popen:
    """Starts `program` on the CPU with its settings as JSON; out and errors are piped."""
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("TF_CONFIG", None)
    if tf_config:
        environment["TF_CONFIG"] = json.dumps(tf_config)
    return subprocess.Popen(
        [sys.executable, str(program), json.dumps(settings)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_workers(program: pathlib.Path, settings: list[dict]) -> list[subprocess.Popen]:
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
