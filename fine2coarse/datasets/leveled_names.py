"""Names of the datasets whose classes are levels of a taxonomy; known without TensorFlow."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

from fine2coarse.datasets.imagenet21k_subsets import NAMED_SUBSETS, Subset, parse_config_name
from fine2coarse.errors import UsageError
from fine2coarse.taxonomy.inat2021 import LEVELS
from fine2coarse.taxonomy.wordnet import NUM_LEVELS

_HOPS = [f"level{hops}" for hops in range(NUM_LEVELS)]
CONFIGS: Mapping[str, Sequence[str]] = {
    "imagenet21k": tuple(
        subset.config_name(hops) for subset in NAMED_SUBSETS for hops in range(NUM_LEVELS)
    ),
    "inat2021": LEVELS,
}
"""Datasets and their configs; any level of one prepares the leaves, which all levels share.

Subsets of imagenet21k by other rules have configs too, as in min100_val20_level0.
"""


def check_name(dataset: str | None) -> tuple[str, str]:
    """Dataset and config, which is empty where none is named.

    Raises:
      UsageError: on an unknown one.
    """
    name, _, level = (dataset or "").partition("/")
    if name not in CONFIGS:
        raise UsageError(f"--dataset is one of {', '.join(CONFIGS)}; got {dataset}")
    if not level or level in CONFIGS[name]:
        return name, level
    if name == "inat2021":
        raise UsageError(f"{name} has no {level!r}; it has {', '.join(CONFIGS[name])}")
    if parse_config_name(level) is None:
        raise UsageError(
            f"{name} has no {level!r}; it has {_HOPS[0]} to {_HOPS[-1]}, and each with present_, "
            "21k_p_, minN_, valK_ or minN_valK_ before it, K below N, as in min100_val20_level0"
        )
    return name, level


def with_class_rule(
    dataset: str | None, min_images_per_class: int | None, num_validation_per_class: int | None
) -> str:
    """The dataset whose config has a rule by class; as it is where no number is given.

    Args:
      dataset: 'imagenet21k', perhaps with a config.
      min_images_per_class: classes with fewer images that can be used are left out.
      num_validation_per_class: images of each class that are held out, the first by name.

    Returns:
      Such as 'imagenet21k/min100_val20_level0'.

    Raises:
      UsageError: on an unknown dataset, one that has no such rules, or a rule that it has already.
    """
    name, level = check_name(dataset)
    given = {
        "min_images_per_class": min_images_per_class,
        "num_validation_per_class": num_validation_per_class,
    }
    told = [f"--{key}={value}" for key, value in given.items() if value is not None]
    if not told:
        return dataset
    if name != "imagenet21k":
        raise UsageError(f"{' and '.join(told)} is for --dataset=imagenet21k, not {name}")
    subset, hops = parse_config_name(level or _HOPS[0])
    if subset not in (Subset(), Subset("present")):
        raise UsageError(
            f"--dataset={dataset} has a rule of its own; leave {' and '.join(told)} out, or take "
            f"--dataset={name}/{_HOPS[hops]}"
        )
    leaves = None if subset.leaves == "all" else subset.leaves
    return f"{name}/{Subset.of_options(leaves, **given).config_name(hops)}"


def check_archives(name: str, manual_dir: str | None) -> None:
    """Makes sure that there is a folder of archives where one is named or needed.

    Args:
      name: of the dataset, without a config.
      manual_dir: the folder; None where none is named.

    Raises:
      UsageError: where it is missing.
    """
    if name == "imagenet21k" and manual_dir is None:
        raise UsageError("imagenet21k needs --manual_dir=FOLDER with the archives you have")
    if manual_dir is not None and not pathlib.Path(manual_dir).is_dir():
        raise UsageError(f"--manual_dir: no folder {manual_dir}")
