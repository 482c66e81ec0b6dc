"""Options of the datasets that a recipe may name, known without opening one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fine2coarse.nearest import unknown
from fine2coarse.paths import PathError, expand_named
from fine2coarse.schema import RecipeError

_PREPARATION = {"manual_dir": str, "num_workers": int, "splits": tuple, "num_validation": int}
DATASET_OPTIONS: Mapping[str, Mapping[str, type]] = {
    "demo": {
        "num_superclasses": int,
        "num_middle_classes": int,
        "num_fine_classes": int,
        "grid": int,
        "patch_px": int,
        "num_train": int,
        "num_test_easy": int,
        "num_test_hard": int,
        "num_marks": int,
        "common_strength": float,
        "rare_strength": float,
        "faint_strength": float,
        "clutter_strength": float,
        "noise": float,
        "seed": int,
    },
    "folder": {
        "source": str,
        "name": str,
        "max_skipped_share": float,
        "flat": bool,
        "test_share": float,
        "num_workers": int,
    },
    "imagenet21k": {"leaves": str, **_PREPARATION},
    "inat2021": _PREPARATION,
    "tfds": {"name": str, "label_features": tuple},
}
"""Dataset → option → type; what each means stands in docs/datasets.md."""

_PATHS = ("source", "manual_dir")


def read_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Checks that options fit their dataset, and expands those that are paths.

    Args:
      name: of the dataset; options of an unknown one are not checked.
      options: as a recipe gives them; None counts as not given.

    Raises:
      RecipeError: naming the options that the dataset does not take, or a path at fault.
    """
    known = DATASET_OPTIONS.get(name)
    if known is not None:
        for option, value in options.items():
            if option not in known and value is not None:
                raise RecipeError(
                    f"dataset {name!r} got {option}={value!r}: {unknown('option', option, known)}"
                )
    try:
        return expand_named(options, _PATHS)
    except PathError as error:
        raise RecipeError(f"dataset {name!r}: {error}") from error
