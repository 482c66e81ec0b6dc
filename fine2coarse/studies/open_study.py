"""Opening what a study works on: its datasets, prepared on first use, and its label spaces."""

from __future__ import annotations

from collections.abc import Sequence

from fine2coarse.datasets.open import check_name, open_prepared
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.studies.before_data import check_recipe
from fine2coarse.studies.run_plan import Run
from fine2coarse.studies.study_data import StudyData, load_study_data


def open_study(
    recipe: Recipe, data_dir: str, runs: Sequence[Run] | None = None, *, prepare: bool = True
) -> StudyData:
    """The data of a recipe: datasets prepared on first use, images read, label spaces made.

    Args:
      recipe: of the study.
      data_dir: folder of prepared data.
      runs: those whose label spaces are wanted; all of them where None.
      prepare: False for prepared data alone.

    Raises:
      NotPreparedError: where a dataset is not prepared and `prepare` is False.
      UsageError: on data or label spaces that cannot be, see `load_study_data`; on files that are
        not there and levels that no taxonomy has before anything is prepared.
    """
    specs = (recipe.dataset, recipe.evaluation, recipe.transfer_dataset)
    for spec in filter(None, specs):
        check_name(spec.name)  # of all, before hours may go into preparing the first
    check_recipe(recipe, runs)
    datasets = [
        spec and open_prepared(spec.name, spec.options, data_dir, prepare=prepare) for spec in specs
    ]
    return load_study_data(recipe, *datasets, runs=runs)
