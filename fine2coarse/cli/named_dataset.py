"""Opening the dataset that a launcher is about: by name, or as a recipe card says."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from absl import flags

from fine2coarse.cli.config_flag import given_fields
from fine2coarse.cli.program import CONFIG, open_prepared, start_tensorflow

if TYPE_CHECKING:
    from fine2coarse.datasets.prepared import PreparedDataset

DATASET = flags.DEFINE_string("dataset", None, "Name of the dataset; default: the config's.")
_OPTIONS = "dataset.options."


def open_named_dataset() -> "PreparedDataset":
    """The dataset of --dataset and --config, prepared on first use.

    Raises:
      ValueError: where neither names one, or the options are of another dataset.
    """
    config = CONFIG.value.to_dict().get("dataset", {}) if CONFIG.value is not None else {}
    name = DATASET.value or config.get("name")
    if not name:
        raise ValueError("name the dataset: --dataset=NAME, or a --config that does")
    start_tensorflow()
    from fine2coarse.recipes.dataset_options import read_options

    given = {key: value for key, value in config.get("options", {}).items() if value is not None}
    if name != config.get("name", name):
        _refuse_options_of_the_card(name, config["name"], given)
    return open_prepared(name, read_options(name, given))


def _refuse_options_of_the_card(name: str, described: str, options: Mapping[str, Any]) -> None:
    """Only what flags give counts for another dataset than the card's."""
    own = sorted(option for option in options if _OPTIONS + option not in given_fields())
    if own:
        raise ValueError(
            f"--dataset={name}, but the card describes dataset {described!r} and gives it the "
            f"options {', '.join(own)}: leave out --dataset, or take a card that gives none, such "
            "as configs/labels.py"
        )
