"""Arms that pretrain on the target's own classes: a control, or an oversight."""

from __future__ import annotations

from fine2coarse.labels.same_classes import NOTE, has_same_classes
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.studies.study_data import StudyData


def notes_on_arms(data: StudyData) -> list[str]:
    """A note on each arm whose classes are the target's, by its label spaces."""
    same = [
        key[0]
        for key, known in data.spaces.summaries.items()
        if known.keyed_by == data.target.keyed_by
        and has_same_classes(data.spaces[key], data.target)
    ]
    return [NOTE.format(arm=arm) for arm in dict.fromkeys(same)]


def notes_on_recipe(recipe: Recipe) -> list[str]:
    """The same before the data is there: on each arm that is labelled as the target is."""
    if recipe.transfer_dataset is not None:
        return []
    same = [arm for arm, spec in recipe.arms.items() if spec.label == recipe.target]
    return [NOTE.format(arm=arm) for arm in same]
