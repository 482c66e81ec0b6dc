"""Names of the datasets whose classes are levels of a taxonomy; known without TensorFlow."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

from fine2coarse.errors import UsageError
from fine2coarse.taxonomy.inat2021 import LEVELS
from fine2coarse.taxonomy.wordnet import NUM_LEVELS

_HOPS = [f"level{hops}" for hops in range(NUM_LEVELS)]
CONFIGS: Mapping[str, Sequence[str]] = {
    "imagenet21k": (*_HOPS, *(f"present_{level}" for level in _HOPS)),
    "inat2021": LEVELS,
}
"""Datasets and their configs; any level of one prepares the leaves, which all levels share."""


def check_name(dataset: str | None) -> tuple[str, str]:
    """Dataset and config, which is empty where none is named.

    Raises:
      UsageError: on an unknown one.
    """
    name, _, level = (dataset or "").partition("/")
    if name not in CONFIGS:
        raise UsageError(f"--dataset is one of {', '.join(CONFIGS)}; got {dataset}")
    if level and level not in CONFIGS[name]:
        raise UsageError(f"{name} has no {level!r}; it has {', '.join(CONFIGS[name])}")
    return name, level


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
