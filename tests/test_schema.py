"""The one parser, on records small enough to read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated

import pytest

from fine2coarse import schema
from fine2coarse.errors import RecipeError


@dataclasses.dataclass(frozen=True)
class Cat:
    name: str
    lives: int = 9
    bed: str = schema.path("")


@dataclasses.dataclass(frozen=True)
class Flock:
    of: Animal
    size: int = 2

    def __post_init__(self) -> None:
        if self.size < 2:
            raise ValueError(f"a flock is at least 2, got {self.size}")


Animal = Annotated[Cat | Flock, schema.Choice("animal", "kind", {"cat": Cat, "flock": Flock})]


@dataclasses.dataclass(frozen=True)
class Stall:
    animal: Animal = schema.inline()
    steps: int = 0
    log_every: int = schema.operational(10)


@dataclasses.dataclass(frozen=True)
class Farm:
    stalls: Mapping[str, Stall]
    guard: Animal | None = None
    weights: tuple[float, ...] = ()
    check_every: int = 0
    save_every: int = schema.operational(5)

    def normalised(self) -> Farm:
        return dataclasses.replace(self, check_every=self.check_every or self.save_every)


TOM = {"kind": "cat", "options": {"name": "Tom"}}


def test_a_record_is_parsed_and_given_back():
    content = {
        "stalls": {"a": {**TOM, "steps": 3}, "b": {"kind": "flock", "options": {"of": TOM}}},
        "weights": [1, 2.5],
    }
    farm = schema.parse(Farm, content)
    assert farm.stalls["a"] == Stall(Cat("Tom"), 3)
    assert farm.stalls["b"].animal == Flock(Cat("Tom")) and farm.guard is None
    assert farm.weights == (1.0, 2.5)
    plain = schema.to_plain(farm)
    assert plain["stalls"]["a"] == {**TOM, "steps": 3, "log_every": 10}
    assert schema.parse(Farm, plain) == farm


def test_what_is_operational_defines_nothing():
    stalls = {"a": {**TOM, "log_every": 7}}
    one = schema.parse(Farm, {"stalls": stalls, "check_every": 5, "save_every": 99})
    other = schema.parse(Farm, {"stalls": {"a": TOM}})
    assert schema.defining(one) == schema.defining(other)
    assert schema.defining(one)["stalls"]["a"] == {**TOM, "steps": 0}
    third = schema.parse(Farm, {"stalls": {"a": TOM}, "save_every": 6})
    assert schema.defining(third) != schema.defining(other), "where it stands in for another field"


def test_none_counts_as_not_given():
    nobody = {"kind": None, "options": {"name": None}}
    farm = schema.parse(Farm, {"stalls": {"a": TOM}, "guard": nobody, "check_every": None})
    assert farm == schema.parse(Farm, {"stalls": {"a": TOM}})


def test_paths_are_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    cat = schema.parse(Animal, {"kind": "cat", "options": {"name": "~", "bed": "~/bed"}})
    assert (cat.name, cat.bed) == ("~", "/home/ann/bed")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"stalls": {"a": {"kind": "cta"}}},
            r"stalls\.a: unknown animal 'cta'; did you mean 'cat'",
        ),
        ({"stalls": {"a": {"kind": "cat"}}}, r"stalls\.a: animal 'cat' needs name"),
        ({"stalls": {"a": {**TOM, "step": 1}}}, r"stalls\.a: unknown key 'step'; did you mean"),
        (
            {"stalls": {"a": {"kind": "cat", "options": {"nam": "x"}}}},
            "animal 'cat': unknown option 'nam'; did you mean 'name'",
        ),
        (
            {"stalls": {"a": {"kind": "cat", "options": {"name": 1}}}},
            "animal 'cat': name: expected str, got 1",
        ),
        (
            {"stalls": {"a": {"kind": "flock", "options": {"of": TOM, "size": 1}}}},
            r"config\.stalls\.a: animal 'flock': a flock is at least 2, got 1",
        ),
        (
            {"stalls": {"a": {"kind": "flock", "options": {"of": {"kind": "cat"}}}}},
            "animal 'flock': of: animal 'cat' needs name",
        ),
        ({"stalls": {}, "guard": {"kind": "cat", "name": "x"}}, r"guard: a animal has `kind` and"),
        ({"stalls": {}, "weights": 3}, "expected several values, got 3"),
        ({"stalls": {}, "check_every": True}, "expected int, got True"),
        ({}, "config: missing stalls"),
    ],
)
def test_mistakes_are_named(content, message):
    with pytest.raises(RecipeError, match=message):
        schema.parse(Farm, content)
