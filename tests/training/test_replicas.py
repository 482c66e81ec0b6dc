"""One replica against two and eight, one process against two: sums, batch norm, mixup, ..."""

from __future__ import annotations

import functools
import json
import pathlib

import numpy as np
import pytest

from tests.processes import Process, start, start_workers

pytestmark = pytest.mark.both_backends

_PROGRAM = pathlib.Path(__file__).with_name("replicas.py")


def result(process: Process) -> dict:
    out, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(out.splitlines()[-1])


@functools.cache
def one_replica(precision: str = "float32") -> dict:
    return result(start(_PROGRAM, {"precision": precision}))


def assert_same(ours: dict, theirs: dict, tolerance: float) -> None:
    np.testing.assert_allclose(ours["losses"], theirs["losses"], atol=tolerance, rtol=0)
    for key in ("averages", "statistics"):
        np.testing.assert_allclose(ours[key], theirs[key], rtol=10 * tolerance, atol=tolerance)


@pytest.mark.slow
def test_two_replicas_train_as_one():
    assert_same(result(start(_PROGRAM, {"num_replicas": 2})), one_replica(), 1e-5)


@pytest.mark.slow
def test_eight_replicas_train_as_one():
    assert_same(result(start(_PROGRAM, {"num_replicas": 8})), one_replica(), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("num_replicas", [2, 8])
def test_images_on_the_devices_train_as_one(num_replicas):
    one, several = (
        result(start(_PROGRAM, {"num_replicas": count, "on_device": True}))
        for count in (1, num_replicas)
    )
    assert_same(several, one, 1e-5)


@pytest.mark.slow
def test_two_processes_train_as_one():
    found = [result(process) for process in start_workers(_PROGRAM, [{}, {}])]
    assert found[0] == found[1]
    assert_same(found[0], one_replica(), 1e-5)


@pytest.mark.slow
def test_the_whole_step_compiles_under_xla_and_trains_the_same():
    assert_same(result(start(_PROGRAM, {"jit_compile": True})), one_replica(), 1e-4)


@pytest.mark.slow
def test_bfloat16_agrees_within_its_rounding():
    half = one_replica("mixed_bfloat16")
    # 8 bits of mantissa: a relative error of 2**-8 in each loss of about 1.4.
    np.testing.assert_allclose(
        result(start(_PROGRAM, {"precision": "mixed_bfloat16", "num_replicas": 2}))["losses"],
        half["losses"],
        atol=1.4 * 2**-7,
    )
    np.testing.assert_allclose(half["losses"], one_replica()["losses"], atol=0.05)
