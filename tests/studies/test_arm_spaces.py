"""The label spaces of a study's arms: small ones are kept, few large ones are there at a time."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from fine2coarse.errors import UsageError
from fine2coarse.labels.space import LabelSpace
from fine2coarse.studies import arm_spaces
from fine2coarse.studies.arm_spaces import ArmSpaces

IDS = tuple(f"i{number}" for number in range(8))
KEYS = [(arm, seed) for arm in ("fine", "random", "noisy") for seed in (0, 1)]


def by_leaf() -> LabelSpace:
    return LabelSpace(("a", "b"), ("a", "b"), np.asarray([[0], [1]]), name="fine")


def by_image(seed: int, name: str = "random") -> LabelSpace:
    labels = np.random.default_rng(seed).integers(0, 2, (len(IDS), 1))
    return LabelSpace(("a", "b"), ("a", "b"), labels, "image", IDS, name)


class Maker:
    """Makes label spaces, counts how often, and knows which of them are alive."""

    def __init__(self) -> None:
        self.made: list[tuple[str, int]] = []
        self._alive: weakref.WeakSet[LabelSpace] = weakref.WeakSet()

    def __call__(self, key: tuple[str, int]) -> LabelSpace:
        self.made.append(key)
        space = by_leaf() if key[0] == "fine" else by_image(key[1], key[0])
        if space.keyed_by == "image":
            self._alive.add(space)
        return space

    @property
    def num_alive(self) -> int:
        return len(self._alive)


def test_small_spaces_are_made_once():
    make = Maker()
    spaces = ArmSpaces(KEYS, make)
    assert make.made == [] and list(spaces) == KEYS and len(spaces) == 6
    for _ in range(2):
        assert [space.name for space in spaces.values()] == [arm for arm, _ in KEYS]
    assert make.made == KEYS
    assert spaces["random", 0] is spaces["random", 0]
    with pytest.raises(KeyError):
        spaces["random", 2]
    assert spaces.get(("baseline", 0)) is None


def test_of_large_spaces_two_are_alive_at_most():
    make = Maker()
    spaces = ArmSpaces(KEYS, make, max_kept_bytes=2 * 8)  # those of the two leaves
    for _, space in spaces.items():
        assert space.num_classes == 2
        assert make.num_alive <= 2
    del space
    assert make.num_alive == 1
    assert [one.keyed_by for one in spaces.summaries.values()] == ["leaf"] * 2 + ["image"] * 4
    assert make.made == KEYS, "what is recorded was noted when they were made"
    for key in KEYS:
        assert spaces[key].fingerprint == spaces.summaries[key].fingerprint
        assert make.num_alive <= 2
    assert make.made.count(("fine", 0)) == 1 and make.made.count(("random", 0)) == 2


def test_spaces_that_take_long_are_not_made_twice():
    make = Maker()
    spaces = ArmSpaces(KEYS, make, slow={"noisy"}, max_kept_bytes=0)
    first = spaces["noisy", 0]
    for key in KEYS:
        assert spaces[key].fingerprint == spaces.summaries[key].fingerprint
    again = spaces["noisy", 0]
    assert make.made.count(("noisy", 0)) == 1
    np.testing.assert_array_equal(again.table, by_image(0).table)
    assert first.table.base is not None and not first.table.flags.writeable
    assert make.num_alive == 1, "tables in a file: none of the spaces made in memory but the last"


def test_a_full_disk_keeps_them_in_memory(monkeypatch):
    def full() -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(arm_spaces.tempfile, "TemporaryFile", full)
    make = Maker()
    spaces = ArmSpaces(KEYS, make, slow={"noisy"}, max_kept_bytes=0)
    assert spaces["noisy", 0] is spaces["noisy", 0]
    assert make.made == [("noisy", 0)]


def test_a_space_that_is_another_one_the_second_time():
    seeds = iter((0, 0, 1))
    spaces = ArmSpaces([("a", 0), ("b", 0)], lambda key: by_image(next(seeds)), max_kept_bytes=0)
    spaces["a", 0], spaces["b", 0]
    with pytest.raises(UsageError, match=r"arm 'a', seed 0: .* was changed meanwhile"):
        spaces["a", 0]


def test_given_spaces_are_taken_as_they_are():
    given = {("fine", 0): by_leaf(), ("random", 0): by_image(0)}
    spaces = ArmSpaces.of(given)
    assert spaces["random", 0] is given["random", 0] and ArmSpaces.of(spaces) is spaces
    assert spaces.summaries["random", 0].fingerprint == given["random", 0].fingerprint
