"""Threefry: the known answers, the same bits in every array library."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from fine2coarse.input.random_bits import position_keys, threefry2x32, uniform

pytestmark = pytest.mark.both_backends

# Of Random123 (kat_vectors, "threefry2x32 20"): counter, key, bits.
KNOWN = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


def words(values: tuple[int, int], make) -> tuple:
    return tuple(make(np.array([value], np.uint32)) for value in values)


@pytest.mark.parametrize("make", [np.asarray, ops.convert_to_tensor], ids=["numpy", "tensors"])
@pytest.mark.parametrize(("counter", "key", "bits"), KNOWN)
def test_known_answers(counter, key, bits, make):
    found = threefry2x32(words(key, make), words(counter, make))
    assert tuple(int(np.asarray(word)[0]) for word in found) == bits


def test_the_bits_are_those_of_jax():
    extend = pytest.importorskip("jax.extend")
    random = np.random.default_rng(0)
    key = random.integers(0, 2**32, 2, np.uint32)
    counter = random.integers(0, 2**32, 1000, np.uint32)
    ours = np.concatenate(threefry2x32(tuple(key), (counter[:500], counter[500:])))
    np.testing.assert_array_equal(ours, extend.random.threefry_2x32(key, counter))


def test_numpy_and_tensors_draw_the_same():
    keys = position_keys(5, np.arange(100) * 2**31)
    ours = uniform(keys, (0, 3, 64))
    assert ours.shape == (100, 3, 2) and ours.dtype == np.float32
    np.testing.assert_array_equal(ours, uniform(ops.convert_to_tensor(keys), (0, 3, 64)))


def test_draws_are_of_the_seed_the_position_and_the_purpose_alone():
    positions = np.array([0, 1, 7, 2**32 + 1, 2**40])
    draws = uniform(position_keys(1, positions), (2, 9))
    for place, position in enumerate(positions):
        one = uniform(position_keys(1, np.array([position])), (9,))
        np.testing.assert_array_equal(one[0, 0], draws[place, 1])
    others = [uniform(position_keys(seed, positions), (2, 9)) for seed in (2, 1 + 2**32, -1)]
    together = np.concatenate([draws.ravel(), *(other.ravel() for other in others)])
    assert len(np.unique(together)) == together.size


def test_draws_are_uniform():
    draws = uniform(position_keys(0, np.arange(20_000)), (0,))
    assert draws.min() >= 0 and draws.max() < 1
    for column in draws[:, 0].T:
        counts = np.histogram(column, 10, (0, 1))[0]
        assert np.abs(counts - 2000).max() < 200  # 4.7 standard deviations
    assert abs(np.corrcoef(draws[:, 0, 0], draws[:, 0, 1])[0, 1]) < 0.03
