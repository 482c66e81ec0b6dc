"""Options of the datasets that a recipe may name, known without opening one.

A record a dataset; what each option means stands in docs/datasets.md. None is not given. Options
that say where and how, not which images, are operational: a study's images are told by their
fingerprint.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from fine2coarse.errors import RecipeError
from fine2coarse.nearest import unknown
from fine2coarse.schema import hints_of, is_operational, operational, parse, path, without_none


@dataclasses.dataclass(frozen=True)
class DemoOptions:
    """Of the generated images: see `datasets.demo.DemoConfig`."""

    num_superclasses: int | None = None
    num_middle_classes: int | None = None
    num_fine_classes: int | None = None
    grid: int | None = None
    patch_px: int | None = None
    num_train: int | None = None
    num_test_easy: int | None = None
    num_test_hard: int | None = None
    num_marks: int | None = None
    common_strength: float | None = None
    rare_strength: float | None = None
    faint_strength: float | None = None
    clutter_strength: float | None = None
    noise: float | None = None
    seed: int | None = None


@dataclasses.dataclass(frozen=True)
class FolderOptions:
    """Of a user's photographs."""

    source: str | None = path(None, is_operational=True)
    name: str | None = operational(None)
    max_skipped_share: float | None = operational(None)
    flat: bool | None = None
    test_share: float | None = None
    num_workers: int | None = operational(None)


@dataclasses.dataclass(frozen=True)
class Inat2021Options:
    """Of iNaturalist 2021."""

    manual_dir: str | None = path(None, is_operational=True)
    num_workers: int | None = operational(None)
    splits: tuple[str, ...] | None = operational(None)
    num_validation: int | None = None


@dataclasses.dataclass(frozen=True)
class Imagenet21kOptions(Inat2021Options):
    """Of ImageNet-21k."""

    leaves: str | None = None


@dataclasses.dataclass(frozen=True)
class TfdsOptions:
    """Of any TFDS dataset whose labels nest."""

    name: str | None = None
    label_features: tuple[str, ...] | None = None


DATASET_OPTIONS: Mapping[str, type] = {
    "demo": DemoOptions,
    "folder": FolderOptions,
    "imagenet21k": Imagenet21kOptions,
    "inat2021": Inat2021Options,
    "tfds": TfdsOptions,
}
"""Dataset → its options."""


def option_types() -> dict[str, Any]:
    """Option → type, of all datasets together."""
    return {
        name: without_none(hint)
        for record in DATASET_OPTIONS.values()
        for name, hint in hints_of(record).items()
    }


def read_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Checks that options fit their dataset, and expands those that are paths.

    Args:
      name: of the dataset; options of an unknown one are not checked.
      options: as a recipe gives them; None counts as not given.

    Returns:
      Those that are given.

    Raises:
      RecipeError: naming the options that the dataset does not take, or a value at fault.
    """
    given = {option: value for option, value in options.items() if value is not None}
    record = DATASET_OPTIONS.get(name)
    if record is None:
        return given
    known = hints_of(record)
    for option, value in given.items():
        if option not in known:
            raise RecipeError(
                f"dataset {name!r} got {option}={value!r}: {unknown('option', option, known)}"
            )
    parsed = parse(record, given, f"dataset {name!r}")
    return {option: getattr(parsed, option) for option in given}


def defining_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that say which images, without those that say where they lie and how to prepare.

    Of an unknown dataset all of them.
    """
    record = DATASET_OPTIONS.get(name)
    fields = {field.name: field for field in dataclasses.fields(record)} if record else {}
    return {
        option: value
        for option, value in options.items()
        if option not in fields or not is_operational(fields[option])
    }
