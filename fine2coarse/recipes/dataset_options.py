"""Options of the datasets that a recipe may name, known without opening one.

A record a dataset. None is not given: the builder then takes the default that stands here in
brackets. Options that say where and how, not which images, are operational: a study's images are
told by their fingerprint.
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
    """Options of the generated images.

    Attributes:
      num_superclasses: target classes (4).
      num_middle_classes: groups of fine classes within each superclass (2).
      num_fine_classes: fine classes within each group (4).
      grid: patches along each side of an image (4).
      patch_px: side of a patch in pixels (8).
      num_train: training images, all easy (4000).
      num_test_easy: easy test images (1000).
      num_test_hard: hard test images (1000).
      num_marks: patches that carry each kind of mark (4).
      common_strength: contrast of the superclass's common mark (1.0).
      rare_strength: contrast of the fine class's rare mark (1.3).
      faint_strength: contrast of a wrong superclass's mark in hard images (0.4).
      clutter_strength: contrast of the clutter (0.4).
      noise: standard deviation of the pixel noise (0.2).
      seed: of marks and images (0).
    """

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
    """Options of your own photographs.

    Attributes:
      source: the folder, tar or zip that holds the photographs; needed.
      name: that the prepared data's folder begins with (made from `source`).
      max_skipped_share: preparing stops where more than this share of a split's images cannot be
        used (0.01).
      flat: whether there is no taxonomy.csv: the class folders are the leaves (False).
      test_share: share of each class that becomes the split `test`, where no folder is called
        test (0.2 of a folder without splits).
      num_workers: processes that prepare (1).
    """

    source: str | None = path(None, is_operational=True)
    name: str | None = operational(None)
    max_skipped_share: float | None = operational(None)
    flat: bool | None = None
    test_share: float | None = None
    num_workers: int | None = operational(None)


@dataclasses.dataclass(frozen=True)
class Inat2021Options:
    """Options of iNaturalist 2021.

    Attributes:
      manual_dir: folder of archives that are there already; what is missing is downloaded (none).
      num_workers: processes that prepare (1).
      splits: those to prepare: train, mini, val (all).
      num_validation: of no effect here; iNaturalist's own `val` is there.
    """

    manual_dir: str | None = path(None, is_operational=True)
    num_workers: int | None = operational(None)
    splits: tuple[str, ...] | None = operational(None)
    num_validation: int | None = None


@dataclasses.dataclass(frozen=True)
class Imagenet21kOptions(Inat2021Options):
    """Options of ImageNet-21k.

    Attributes:
      manual_dir: folder of the archives that you provide; needed to prepare.
      num_workers: processes that prepare (1).
      splits: refused here; `num_validation` makes the second split.
      num_validation: training images held out as the split `validation` (102,400 of the whole
        archive, else that share).
      leaves: 'all' 21,843 synsets as leaves, or 'present', those that the archive has (all; with
        a minimum present).
      subset: '21k_p', the rule of ImageNet-21K-P: classes of at least 501 images, of each of which
        50 are held out (none).
      min_images_per_class: classes with fewer images that can be used are left out (none are).
      num_validation_per_class: images of each class that become the split `validation`, the first
        by name, instead of `num_validation` (none).
    """

    leaves: str | None = None
    subset: str | None = None
    min_images_per_class: int | None = None
    num_validation_per_class: int | None = None


@dataclasses.dataclass(frozen=True)
class TfdsOptions:
    """Options of any TFDS dataset whose labels nest, or that has a taxonomy from a file.

    Attributes:
      name: TFDS's own name of it, as in cifar100; needed.
      label_features: its label features, finest first, as in ("label", "coarse_label"); only
        cifar100, omniglot and imagenet2012 can do without. With `taxonomy` one, which may be left
        out where there is no other.
      taxonomy: file of what stands above the classes: an edge list, Newick, JSON or a table of
        levels (none).
      taxonomy_format: how to read it, where its content does not tell: levels, edges,
        parent_child, child_parent, newick or json (auto).
    """

    name: str | None = None
    label_features: tuple[str, ...] | None = None
    taxonomy: str | None = path(None, is_operational=True)
    taxonomy_format: str | None = operational(None)


@dataclasses.dataclass(frozen=True)
class _ShardOptions:
    """Options of images in shards.

    Attributes:
      source: a folder of shards, or a pattern such as train-{0000..1023}.tar or data/*.parquet;
        needed.
      name: that the prepared data's folder begins with (made from `source`).
      taxonomy: 'wordnet', where the classes are synset ids, or a taxonomy's file; else several
        labels show how they nest, and one label makes a flat list of classes (none).
      taxonomy_format: how that file is read: see `fine2coarse levels --help` (auto).
      classes: file of the ids that the labels' integers stand for, one a line (none).
      test_share: share of each class that becomes the split `test`, where no file's name says one
        (0.2 where no name says a split).
      max_skipped_share: preparing stops where more than this share of a split's images cannot be
        used (0.01).
      num_workers: processes that prepare (1).
    """

    source: str | None = path(None, is_operational=True)
    name: str | None = operational(None)
    taxonomy: str | None = path(None, is_operational=True)
    taxonomy_format: str | None = operational(None)
    classes: str | None = path(None, is_operational=True)
    test_share: float | None = None
    max_skipped_share: float | None = operational(None)
    num_workers: int | None = operational(None)


@dataclasses.dataclass(frozen=True)
class WebDatasetOptions(_ShardOptions):
    """Options of WebDataset shards.

    Attributes:
      source: a folder of tars, or a pattern such as "train-{0000..1023}.tar"; needed.
      label_fields: what holds the labels, finest first: cls, fields of the JSON, or __key__ for the
        synset id that a key begins with (cls).
      image_field: the image's suffix, where keys have several, as in seg.png (the only image).
    """

    label_fields: tuple[str, ...] | None = None
    image_field: str | None = None


@dataclasses.dataclass(frozen=True)
class ParquetOptions(_ShardOptions):
    """Options of Parquet files.

    Attributes:
      source: a folder of Parquet files, or a pattern such as "data/train-*.parquet"; needed.
      label_columns: columns of the labels, finest first (the only one with classes, or label).
      image_column: column of the images: bytes, or a struct of bytes and path (the only one).
      id_column: column of the images' ids, as in image.path (file and row).
    """

    label_columns: tuple[str, ...] | None = None
    image_column: str | None = None
    id_column: str | None = None


DATASET_OPTIONS: Mapping[str, type] = {
    "demo": DemoOptions,
    "folder": FolderOptions,
    "imagenet21k": Imagenet21kOptions,
    "inat2021": Inat2021Options,
    "parquet": ParquetOptions,
    "tfds": TfdsOptions,
    "webdataset": WebDatasetOptions,
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
