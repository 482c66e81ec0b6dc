"""Opening what a study works on: its datasets, prepared on first use, and its label spaces."""

from __future__ import annotations

from collections.abc import Sequence

from fine2coarse.backend_start import start_tensorflow
from fine2coarse.packs.pack import PackedDataset, open_pack
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.studies.before_data import KnownLevels, check_label_sources, check_recipe
from fine2coarse.studies.run_plan import Run
from fine2coarse.studies.storage import ImageDevices
from fine2coarse.studies.study_data import ROLES, StudyData, load_study_data

INSTEAD_OF_DATASETS = (
    "read a pack, which needs none: --packed=DIR, made by `fine2coarse pack` where TensorFlow is"
)
"""What reads images where TensorFlow is not installed, for errors."""


def open_study(
    recipe: Recipe,
    data_dir: str,
    runs: Sequence[Run] | None = None,
    *,
    prepare: bool = True,
    packed: str | None = None,
    devices: ImageDevices | None = None,
) -> StudyData:
    """The data of a recipe: datasets prepared on first use, images read, label spaces made.

    Args:
      recipe: of the study.
      data_dir: folder of prepared data.
      runs: those whose label spaces are wanted; all of them where None.
      prepare: False for prepared data alone.
      packed: folder of a pack to read in place of the datasets, for which neither TFDS nor
        TensorFlow is imported; None for the datasets.
      devices: the engine that trains, for `dataset.storage=device`; None where none does.

    Raises:
      PackError: where the pack is not whole, or holds other images than the recipe reads.
      NotPreparedError: where a dataset is not prepared and `prepare` is False.
      UsageError: on data or label spaces that cannot be, see `load_study_data`; on files that are
        not there and levels that no taxonomy has before anything is prepared.
    """
    if packed is not None:
        datasets = packed_datasets(recipe, packed)
        levels = [found and _levels_of(found) for found in datasets]
        check_label_sources(recipe, runs, levels[0], levels[-1] or levels[0])
        return load_study_data(recipe, *datasets, runs=runs, devices=devices)
    start_tensorflow("reading a prepared dataset", INSTEAD_OF_DATASETS)
    from fine2coarse.datasets.open import check_name, open_prepared

    specs = [getattr(recipe, role) for role in ROLES]
    for spec in filter(None, specs):
        check_name(spec.name)  # of all, before hours may go into preparing the first
    check_recipe(recipe, runs)
    datasets = [
        spec and open_prepared(spec.name, spec.options, data_dir, prepare=prepare) for spec in specs
    ]
    return load_study_data(recipe, *datasets, runs=runs, devices=devices)


def packed_datasets(recipe: Recipe, folder: str) -> list[PackedDataset | None]:
    """The datasets of a pack that `ROLES` of a recipe name; None for those it does not name.

    Raises:
      PackError: where the pack is not whole, or holds other images than the recipe reads.
    """
    pack = open_pack(folder)
    pack.check(recipe)
    return [pack.dataset(role) if getattr(recipe, role) else None for role in ROLES]


def _levels_of(dataset: PackedDataset) -> KnownLevels:
    return KnownLevels(dataset.name, dataset.taxonomy.levels, dataset.taxonomy)
