"""The flag --dataset: a dataset by name, or as a card describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from absl import flags

from fine2coarse.backend_start import start_on_tensorflow
from fine2coarse.cli.card_flag import CONFIG
from fine2coarse.cli.config_flag import given_fields
from fine2coarse.cli.folder_flags import data_folder
from fine2coarse.errors import UsageError
from fine2coarse.recipes.dataset_options import read_options

if TYPE_CHECKING:
    from fine2coarse.datasets.prepared import PreparedDataset
    from fine2coarse.taxonomy.taxonomy import Taxonomy

DATASET = flags.DEFINE_string("dataset", None, "Name of the dataset; default: the config's.")
_OPTIONS = "dataset.options."
_WORK = "reading a dataset"


def open_named_dataset(*, prepare: bool = True) -> PreparedDataset:
    """The dataset of --dataset and --config, prepared on first use.

    Args:
      prepare: False for prepared data alone.

    Raises:
      UsageError: where neither names one, or the options are of another dataset.
      NotPreparedError: where it is not prepared and `prepare` is False.
    """
    name, options = _name_and_options()
    start_on_tensorflow(_WORK)
    from fine2coarse.datasets.open import open_prepared

    return open_prepared(name, options, data_folder(), prepare=prepare)


def levels_of_named_dataset() -> tuple[Taxonomy, Mapping[int, int], str, list[str]]:
    """The taxonomy of --dataset and --config, of prepared data or of shards that are not yet.

    Returns:
      Taxonomy; leaf label → images to train on; a line that says what this is; notes.

    Raises:
      UsageError: as `open_named_dataset`.
      NotPreparedError: where it is not prepared, and its labels cannot be read without its images.
    """
    name, options = _name_and_options()
    start_on_tensorflow(_WORK)
    import numpy as np

    from fine2coarse.datasets.open import NotPreparedError, open_prepared, survey_unprepared

    try:
        dataset = open_prepared(name, options, data_folder(), prepare=False)
    except NotPreparedError:
        survey = survey_unprepared(name, options)
        if survey is None:
            raise
        return survey.taxonomy, survey.num_train_images, survey.head, survey.notes
    split = next(iter(sorted(dataset.splits, key=lambda name: name != "train")))
    num_images = dict(enumerate(np.bincount(dataset.index(split).labels).tolist()))
    leaves = f"{dataset.name}: {dataset.taxonomy.num_leaves} leaves"
    head = f"{leaves}; class sizes in images of the split {split}"
    return dataset.taxonomy, num_images, head, []


def _name_and_options() -> tuple[str, Mapping[str, Any]]:
    config = CONFIG.value.to_dict().get("dataset", {}) if CONFIG.value is not None else {}
    name = DATASET.value or config.get("name")
    if not name:
        raise UsageError("name the dataset: --dataset=NAME, or a --config that does")
    given = {
        key: value for key, value in (config.get("options") or {}).items() if value is not None
    }
    if name != config.get("name", name):
        _refuse_options_of_the_card(name, config["name"], given)
    return name, read_options(name, given)


def _refuse_options_of_the_card(name: str, described: str, options: Mapping[str, Any]) -> None:
    """Only what flags give counts for another dataset than the card's."""
    own = sorted(option for option in options if _OPTIONS + option not in given_fields())
    if own:
        raise UsageError(
            f"--dataset={name}, but the card describes dataset {described!r} and gives it the "
            f"options {', '.join(own)}: leave out --dataset, or take a card that gives none, such "
            "as `labels`"
        )
