"""What an error says of an unknown name."""

from __future__ import annotations

from fine2coarse.nearest import unknown


def test_the_nearest_name_is_named_and_all_are_listed():
    text = unknown("arm", "fin", ["coarse", "fine"])
    assert text == "unknown arm 'fin'; did you mean 'fine'? there are: coarse, fine"


def test_nothing_near_nothing_suggested():
    assert unknown("arm", "xyz", iter(["coarse"])) == "unknown arm 'xyz'; there are: coarse"
