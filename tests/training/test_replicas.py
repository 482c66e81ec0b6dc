"""One replica against two and eight, one process against two: batch norm, mixup, clipping, ..."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PROGRAM = pathlib.Path(__file__).with_name("replicas.py")


def start(settings: dict, tf_config: dict | None = None) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("TF_CONFIG", None)
    if tf_config:
        environment["TF_CONFIG"] = json.dumps(tf_config)
    return subprocess.Popen(
        [sys.executable, str(_PROGRAM), json.dumps(settings)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen) -> dict:
    out, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(out.splitlines()[-1])


@functools.cache
def one_replica(precision: str = "float32") -> dict:
    return result(start({"precision": precision}))


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for free in sockets:
        free.bind(("127.0.0.1", 0))
    ports = [free.getsockname()[1] for free in sockets]
    for free in sockets:
        free.close()
    return ports


def assert_same(ours: dict, theirs: dict, tolerance: float) -> None:
    np.testing.assert_allclose(ours["losses"], theirs["losses"], atol=tolerance, rtol=0)
    for key in ("averages", "statistics"):
        np.testing.assert_allclose(ours[key], theirs[key], rtol=10 * tolerance, atol=tolerance)


def test_two_replicas_train_as_one():
    assert_same(result(start({"num_replicas": 2})), one_replica(), 1e-5)


@pytest.mark.slow
def test_eight_replicas_train_as_one():
    assert_same(result(start({"num_replicas": 8})), one_replica(), 1e-5)


def test_two_processes_train_as_one():
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    both = [
        start({}, {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})
        for index in (0, 1)
    ]
    found = [result(process) for process in both]
    assert found[0] == found[1]
    assert_same(found[0], one_replica(), 1e-5)


@pytest.mark.slow
def test_the_whole_step_compiles_under_xla_and_trains_the_same():
    assert_same(result(start({"jit_compile": True})), one_replica(), 1e-4)


@pytest.mark.slow
def test_bfloat16_agrees_within_its_rounding():
    half = one_replica("mixed_bfloat16")
    # 8 bits of mantissa: a relative error of 2**-8 in each loss of about 1.4.
    np.testing.assert_allclose(
        result(start({"precision": "mixed_bfloat16", "num_replicas": 2}))["losses"],
        half["losses"],
        atol=1.4 * 2**-7,
    )
    np.testing.assert_allclose(half["losses"], one_replica()["losses"], atol=0.05)
