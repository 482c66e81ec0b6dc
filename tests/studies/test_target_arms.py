"""An arm that pretrains on the target's own classes is told, before data and with it."""

from __future__ import annotations

import fine2coarse
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.studies.target_arms import notes_on_recipe


def test_an_arm_that_is_labelled_as_the_target():
    plain = fine2coarse.load_config("demo:smoke")
    assert notes_on_recipe(Recipe.from_config(plain)) == []
    level = {"arms.middle.options.level": "superclass"}
    same = fine2coarse.load_config("demo:smoke", level)
    (note,) = notes_on_recipe(Recipe.from_config(same))
    assert note.startswith("arm middle has the same classes as the target")
