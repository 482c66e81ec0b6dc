"""Opening the dataset that a launcher is about: by name, or as a recipe card says."""

from typing import TYPE_CHECKING

from _cli import CONFIG, data_folder, start_tensorflow
from absl import flags

if TYPE_CHECKING:
    from fine2coarse.datasets.prepared import PreparedDataset

DATASET = flags.DEFINE_string("dataset", None, "Name of the dataset; default: the config's.")


def open_named_dataset() -> "PreparedDataset":
    """The dataset of --dataset and --config, prepared on first use.

    Raises:
      ValueError: where neither names one.
    """
    config = CONFIG.value.to_dict().get("dataset", {}) if CONFIG.value is not None else {}
    name = DATASET.value or config.get("name")
    if not name:
        raise ValueError("name the dataset: --dataset=NAME, or a --config that does")
    start_tensorflow()
    from fine2coarse.datasets.open import open_dataset

    options = config.get("options", {}) if name == config.get("name", name) else {}
    given = {key: value for key, value in options.items() if value is not None}
    return open_dataset(name, given, data_folder())
