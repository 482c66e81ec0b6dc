"""Opening a dataset by name: prepared on first use where it can be, checked, with its taxonomy."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import pathlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds
from google.protobuf import json_format

from fine2coarse.datasets.demo import Demo, DemoConfig
from fine2coarse.datasets.folder import FolderConfig, LabelledFolder, find_prepared
from fine2coarse.datasets.folder_layout import FolderError
from fine2coarse.datasets.imagenet21k import Imagenet21k
from fine2coarse.datasets.imagenet21k_subsets import SUBSET_OPTIONS, subset_of
from fine2coarse.datasets.inat2021 import Inat2021
from fine2coarse.datasets.leveled import LeveledBuilder, PrepareConfig
from fine2coarse.datasets.parquet import ParquetConfig, ParquetImages
from fine2coarse.datasets.preparation_claim import first_to_prepare
from fine2coarse.datasets.prepared import DatasetError, PreparedDataset
from fine2coarse.datasets.quiet_tfds import prepare_quietly, without_warnings
from fine2coarse.datasets.shard_files import ShardsError
from fine2coarse.datasets.shard_state import find_prepared_shards
from fine2coarse.datasets.shard_survey import ShardSurvey, survey_shards
from fine2coarse.datasets.sharded import ShardedBuilder, ShardedConfig
from fine2coarse.datasets.tfds_hierarchy import (
    check_taxonomy_file,
    one_label_feature,
    open_hierarchy,
)
from fine2coarse.datasets.webdataset import WebDatasetConfig, WebdatasetImages
from fine2coarse.errors import UsageError
from fine2coarse.nearest import unknown
from fine2coarse.paths import expand
from fine2coarse.preparation.preparation_report import StoredReport
from fine2coarse.recipes.dataset_options import read_options
from fine2coarse.taxonomy.taxonomy_file import AUTO

_log = logging.getLogger(__name__)


class NotPreparedError(DatasetError):
    """A dataset that is not prepared, and was not to be."""


def open_prepared(
    name: str, options: Mapping[str, Any], data_dir: str, *, prepare: bool = True
) -> PreparedDataset:
    """Opens a dataset; where several processes want it, the first prepares it, the others wait.

    Args:
      name: one of `dataset_names()`.
      options: what that dataset takes, e.g. `source` for 'folder'.
      data_dir: folder of prepared data.
      prepare: False for prepared data alone.

    Raises:
      DatasetError: on an unknown name, or data that cannot be prepared.
      RecipeError: on an unknown option, or a value of the wrong type.
      NotPreparedError: where it is not prepared and `prepare` is False.
    """
    check_name(name)
    if not prepare:
        return open_dataset(name, options, data_dir, prepare=False)
    with first_to_prepare(data_dir, name, options):
        dataset = open_dataset(name, options, data_dir)
        dataset.contents  # noqa: B018 - of other builders' data it is read once, by one process
        return dataset


def open_dataset(
    name: str, options: Mapping[str, Any], data_dir: str, *, prepare: bool = True
) -> PreparedDataset:
    """As `open_prepared`, where no other process prepares the same: nobody is waited for."""
    check_name(name)
    _check_utf8(data_dir)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        with without_warnings():
            return _OPENERS[name](read_options(name, options), data_dir, prepare)
    except json_format.ParseError as error:
        raise DatasetError(
            f"dataset {name!r}: a dataset_info.json in {data_dir} is damaged "
            f"({' '.join(str(error).split())}); delete the folder it is in to prepare it again"
        ) from error


def _check_utf8(data_dir: str) -> None:
    try:
        data_dir.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"data folder {data_dir!r}: its name is not UTF-8, which TFDS needs; choose another "
            "--data_dir"
        ) from error


def check_name(name: str) -> None:
    """Raises DatasetError where `open_dataset` knows no dataset of that name."""
    if name not in _OPENERS:
        raise DatasetError(unknown("dataset", name, dataset_names()))


def dataset_names() -> tuple[str, ...]:
    """Names that `open_dataset` accepts."""
    return tuple(sorted(_OPENERS))


def _prepared(
    builder: tfds.core.DatasetBuilder,
    prepare: bool,
    config: tfds.download.DownloadConfig | None = None,
) -> PreparedDataset:
    _prepare(builder, prepare, config)
    return PreparedDataset(builder, builder.taxonomy)


def _prepare(
    builder: tfds.core.DatasetBuilder,
    prepare: bool,
    config: tfds.download.DownloadConfig | None = None,
) -> None:
    if not prepare and not builder.is_prepared():
        raise NotPreparedError(f"{builder.name} is not prepared: there is no {builder.data_path}")
    was_prepared = builder.is_prepared()
    prepare_quietly(builder, download_config=config)
    if isinstance(builder, LeveledBuilder) and not was_prepared:
        _log.info("%s", StoredReport(builder.data_path, builder.report()).sentence())


def _demo(options: dict[str, Any], data_dir: str, prepare: bool) -> PreparedDataset:
    if not options:
        return _prepared(Demo(data_dir=data_dir), prepare)
    config = DemoConfig(name=f"custom-{_digest(options)}", **options)
    return _prepared(Demo(config=config, data_dir=data_dir), prepare)


def _folder(options: dict[str, Any], data_dir: str, prepare: bool) -> PreparedDataset:
    given = options.pop("source", None)
    if not given:
        raise FolderError(
            "dataset 'folder' needs `source`: a folder of photographs or an archive of one; "
            "--config=folder:PATH gives it too"
        )
    source = pathlib.Path(expand(given)).resolve()
    shaping = {key: options[key] for key in ("flat", "test_share") if options.get(key)}
    name = _checked_name(options.pop("name", None) or f"folder-{_digest(str(source))}", FolderError)
    if shaping:
        name += f"-{_digest(shaping)}"
    num_workers = options.pop("num_workers", 1)

    def builder_named(full_name: str) -> LabelledFolder:
        config = FolderConfig(name=full_name, source=str(source), **options)
        return LabelledFolder(config=config, data_dir=data_dir)

    builder = find_prepared(source, name, builder_named, data_dir)
    config = PrepareConfig(num_workers=num_workers, show_progress=sys.stderr.isatty())
    return _prepared(builder, prepare, config)


def _checked_name(name: str, error: type[Exception]) -> str:
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        raise error(f"name is made of letters, digits, '-', '_' and '.', got {name!r}")
    return name


def _webdataset(options: dict[str, Any], data_dir: str, prepare: bool) -> PreparedDataset:
    return _sharded("webdataset", WebdatasetImages, WebDatasetConfig, options, data_dir, prepare)


def _parquet(options: dict[str, Any], data_dir: str, prepare: bool) -> PreparedDataset:
    return _sharded("parquet", ParquetImages, ParquetConfig, options, data_dir, prepare)


def _sharded(
    dataset: str,
    builder_class: type[ShardedBuilder],
    config_class: type[ShardedConfig],
    options: dict[str, Any],
    data_dir: str,
    prepare: bool,
) -> PreparedDataset:
    """Images in shards; what decides labels and splits is part of the prepared folder's name."""
    num_workers = options.pop("num_workers", 1)
    own = _shards_config(dataset, config_class, options)

    def builder_named(name: str) -> ShardedBuilder:
        config = dataclasses.replace(own, name=name, stored_as=name)
        return builder_class(config=config, data_dir=data_dir)

    builder = find_prepared_shards(own, builder_class, builder_named, data_dir)
    config = PrepareConfig(num_workers=num_workers, show_progress=sys.stderr.isatty())
    return _prepared(builder, prepare, config)


def _shards_config(
    dataset: str, config_class: type[ShardedConfig], options: dict[str, Any]
) -> ShardedConfig:
    given = options.pop("source", None)
    if not given:
        raise ShardsError(
            f"dataset {dataset!r} needs `source`: a folder of shards, or a pattern: "
            "--config.dataset.options.source=..."
        )
    source = expand(given)
    if "://" not in source:
        source = str(pathlib.Path(source).absolute())
    how = ("name", "max_skipped_share")
    shaping = {key: value for key, value in options.items() if key not in how and value}
    name = options.pop("name", None) or f"{dataset}-{_digest(source)}"
    name = _checked_name(name, ShardsError)
    if shaping:
        name += f"-{_digest(shaping)}"
    return config_class(name=name, source=source, **options)


def survey_unprepared(name: str, options: Mapping[str, Any]) -> ShardSurvey | None:
    """What a dataset holds whose labels can be read before its images; None of others.

    Args:
      name: of the dataset.
      options: see `open_prepared`.

    Raises:
      ShardsError, TaxonomyError: where there are no shards, or labels are not as expected.
    """
    config_class = {"webdataset": WebDatasetConfig, "parquet": ParquetConfig}.get(name)
    if config_class is None:
        return None
    given = read_options(name, options)
    num_workers = given.pop("num_workers", 1)
    return survey_shards(_shards_config(name, config_class, given), num_workers)


def _imagenet21k(options: dict[str, Any], data_dir: str, prepare: bool) -> PreparedDataset:
    try:
        subset = subset_of(options)
    except UsageError as error:
        raise DatasetError(f"dataset 'imagenet21k': {error}") from error
    options = {name: value for name, value in options.items() if name not in SUBSET_OPTIONS}
    builder = Imagenet21k(config=subset.config_name(), data_dir=data_dir)
    return _prepared(builder, prepare, _prepare_config(**options))


def _inat2021(options: dict[str, Any], data_dir: str, prepare: bool) -> PreparedDataset:
    return _prepared(Inat2021(data_dir=data_dir), prepare, _prepare_config(**options))


def _prepare_config(
    *,
    manual_dir: str | None = None,
    num_workers: int = 1,
    splits: Sequence[str] | None = None,
    num_validation: int | None = None,
) -> PrepareConfig:
    return PrepareConfig(
        manual_dir=None if manual_dir is None else expand(manual_dir),
        num_workers=num_workers,
        splits=None if splits is None else tuple(splits),
        num_validation=num_validation,
        show_progress=sys.stderr.isatty(),
    )


def _tfds(options: dict[str, Any], data_dir: str, prepare: bool) -> PreparedDataset:
    """Any TFDS dataset whose labels nest, or with a file of what stands above its classes."""
    name = options.pop("name", None)
    label_features = options.pop("label_features", None)
    taxonomy = options.pop("taxonomy", "")
    taxonomy_format = options.pop("taxonomy_format", AUTO)
    if not name or options:
        raise DatasetError(
            "dataset 'tfds' takes `name` (as in cifar100), `label_features` (finest first), "
            f"`taxonomy` and `taxonomy_format`; got also {sorted(options)}"
        )
    builder = tfds.builder(name, data_dir=data_dir)
    if taxonomy:  # what is wrong with it is told before anything is downloaded
        feature = builder.info.features[one_label_feature(builder, label_features)]
        check_taxonomy_file(builder.name, feature, taxonomy, taxonomy_format)
    _prepare(builder, prepare)
    return open_hierarchy(builder, label_features, taxonomy, taxonomy_format)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]


_OPENERS: Mapping[str, Callable[[dict[str, Any], str, bool], PreparedDataset]] = {
    "demo": _demo,
    "folder": _folder,
    "imagenet21k": _imagenet21k,
    "inat2021": _inat2021,
    "parquet": _parquet,
    "tfds": _tfds,
    "webdataset": _webdataset,
}
