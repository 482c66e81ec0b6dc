"""Builders whose configs are levels: one copy on disk, labelled with leaves, read at any level."""

from __future__ import annotations

import abc
import dataclasses
import errno
import functools
import json
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core import constants, dataset_builder

from fine2coarse.archives.archives import SourceError
from fine2coarse.datasets import stored_taxonomy
from fine2coarse.errors import UsageError
from fine2coarse.files import read_json
from fine2coarse.formats import disk_size
from fine2coarse.labels import sources
from fine2coarse.preparation import preparation_report
from fine2coarse.preparation.class_rule import ClassRule
from fine2coarse.preparation.comparison import Comparison
from fine2coarse.preparation.engine import (
    SOURCE_NAME,
    Preparation,
    PreparationError,
    PreparationRefused,
    PrepareConfig,
    disk_free,
)
from fine2coarse.preparation.file_batches import Source
from fine2coarse.preparation.shards import Plan, SplitRule
from fine2coarse.preparation.spill import SpillIndex
from fine2coarse.taxonomy.taxonomy import Taxonomy

_log = logging.getLogger(__name__)

STAGING_SUFFIX = ".preparing"


class LevelLabel(tfds.features.ClassLabel):
    """A class label at a level, read from a stored leaf label through a table.

    Where every leaf has one class, the label is a scalar int64. Where some leaf has several, it is
    int64 [most classes of a leaf], padded with -1.

    What is stored is the leaf, so this feature can be read but not written.
    """

    def __init__(self, level: str, taxonomy: Taxonomy | None = None) -> None:
        super().__init__()
        self.level = level
        self._table: np.ndarray | None = None
        if taxonomy is not None:
            self.set_taxonomy(taxonomy)

    def set_taxonomy(self, taxonomy: Taxonomy) -> None:
        """Learns classes and table; called once, when the taxonomy is known."""
        space = sources.level(taxonomy, self.level)
        self.names = class_names(space.class_ids, space.class_names)
        table = space.table.astype(np.int64)
        self._table = table if space.is_multi_label else table[:, 0]

    def get_tensor_info(self) -> tfds.features.TensorInfo:
        """Shape [] or [M], int64."""
        shape = () if self._table is None else self._table.shape[1:]
        return tfds.features.TensorInfo(shape=shape, dtype=np.int64)

    def get_serialized_info(self) -> tfds.features.TensorInfo:
        """The stored leaf: a scalar int64."""
        return tfds.features.TensorInfo(shape=(), dtype=np.int64)

    def encode_example(self, example_data: Any) -> Any:
        """Raises: a level is a view."""
        raise TypeError(f"level {self.level!r} is a view; write leaf labels instead")

    def decode_example(self, tfexample_data: tf.Tensor) -> tf.Tensor:
        """Looks the leaf up."""
        return tf.gather(self._known_table(), tfexample_data)

    def decode_batch_example(self, example_data: tf.Tensor) -> tf.Tensor:
        """Looks a batch of leaves up."""
        return tf.gather(self._known_table(), example_data)

    def decode_example_np(self, example_data: np.ndarray) -> np.ndarray:
        """Looks the leaf up without TensorFlow."""
        return self._known_table()[example_data]

    def _known_table(self) -> np.ndarray:
        if self._table is None:
            raise UsageError(f"the classes of level {self.level!r} are known once data is prepared")
        return self._table

    def save_metadata(self, data_dir: epath.PathLike, feature_name: str | None = None) -> None:
        """Nothing to save: the taxonomy is stored with the leaves."""

    def load_metadata(self, data_dir: epath.PathLike, feature_name: str | None = None) -> None:
        """Nothing to load: the builder gives the taxonomy."""


def class_names(class_ids: tuple[str, ...], names: tuple[str, ...]) -> list[str]:
    """Display names where each is unique, and the id where a name stands for several classes."""
    count: dict[str, int] = {}
    for name in names:
        count[name] = count.get(name, 0) + 1
    return [name if count[name] == 1 else class_id for class_id, name in zip(class_ids, names)]


@dataclasses.dataclass(kw_only=True, eq=False)
class LevelConfig(tfds.core.BuilderConfig):
    """A view of the stored data.

    Attributes:
      level: of the taxonomy.
      stored_as: name of the config whose folder holds the data; its own for the leaves.
    """

    level: str
    stored_as: str


class LeveledBuilder(dataset_builder.FileReaderBuilder, skip_registration=True):
    """Base of the builders that prepare leaf-labelled images and offer every level of them.

    A subclass names its levels as `LevelConfig`s and gives `_known_taxonomy`, `_source` and the
    like. `num_workers` and more are set by giving `download_and_prepare` a `PrepareConfig`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._given = kwargs
        self._prepared_path = self.data_path
        self._learn_taxonomy()

    @property
    def _level_config(self) -> LevelConfig:
        return self.builder_config

    @property
    def is_leaf_view(self) -> bool:
        """Whether the labels are the leaves as they are stored."""
        return self._level_config.stored_as == self._level_config.name

    @property
    def taxonomy(self) -> Taxonomy:
        """The hierarchy whose leaves are the stored labels.

        Raises:
          UsageError: where it is known from the data alone, and there is none yet.
        """
        known = self._known_taxonomy()
        return stored_taxonomy.read(self.info) if known is None else known

    def report(self) -> preparation_report.Report:
        """What preparing found.

        Raises:
          FileNotFoundError: where nothing is prepared.
        """
        return preparation_report.read_report(self.data_path)

    @abc.abstractmethod
    def _known_taxonomy(self) -> Taxonomy | None:
        """The taxonomy, where it does not depend on the source."""

    @abc.abstractmethod
    def _find_source(
        self, dl_manager: tfds.download.DownloadManager, config: PrepareConfig
    ) -> tuple[Source, Taxonomy]:
        """The source, and the taxonomy over its leaves."""

    @abc.abstractmethod
    def _split_rule(self, source: Source, config: PrepareConfig) -> SplitRule | None:
        """How to divide images whose source names no split."""

    def _class_rule(self, taxonomy: Taxonomy) -> ClassRule | None:
        """Which of the source's leaves remain, and what each holds out; None for no such rule."""
        del taxonomy

    def _taxonomy_of(self, taxonomy: Taxonomy, remaining: np.ndarray) -> Taxonomy:
        """The taxonomy over those leaves alone that a class rule keeps: bool [leaves]."""
        raise NotImplementedError(f"{type(self).__name__} has a class rule, and no way to apply it")

    def _compare(self, report: preparation_report.Report, plan: Plan) -> tuple[Comparison, ...]:
        """What is published of such a source, beside what was found."""
        del report, plan
        return ()

    def _check_prepared(self, config: PrepareConfig) -> None:
        """Raises PreparationRefused where what is asked for is not what is there."""

    def _identity_now(
        self, config: PrepareConfig, before: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """What the source is now, as far as it is given, without reading images; else None.

        Args:
          config: names the source.
          before: what it was when data was prepared from it.
        """
        del config, before
        return None

    def _check_source(self, config: PrepareConfig) -> None:
        """Raises PreparationRefused where a source that is given has changed since."""
        path = self.data_path / SOURCE_NAME
        if config.manual_dir is None or not path.exists():
            return
        try:
            before = read_json(path)
        except ValueError as error:
            raise preparation_report.damaged(path, error.__cause__ or error) from error
        try:
            now = json.loads(json.dumps(self._identity_now(config, before)))
        except (SourceError, OSError) as error:  # such as archives that were deleted since
            _log.warning("%s is not compared with what is prepared: %s", config.manual_dir, error)
            return
        if now is None or now == before:
            return
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        raise PreparationRefused(
            f"{config.manual_dir} has changed since {self.data_dir} was prepared from it: "
            f"{', '.join(f'{key} was {before.get(key)}, is {now.get(key)}' for key in changed)}. "
            "Give another data_dir to prepare it there, or leave manual_dir out to use "
            "what is prepared"
        )

    def _settings(self, source: Source, config: PrepareConfig) -> Mapping[str, Any]:
        """What else shapes the result; JSON-able."""
        del source, config
        return {}

    @property
    def _max_skipped_share(self) -> float | None:
        """Preparing stops where more than this share of a split's images is skipped."""
        return None

    def _check_plan(self, plan: Plan, taxonomy: Taxonomy) -> None:
        """Raises SourceError where the examples are not what the dataset needs."""

    def _write_state(
        self, source: Source, folder: epath.Path, indices: Sequence[SpillIndex]
    ) -> None:
        """Writes what the source's files were, where changes are to be noticed file by file."""

    def _extra_features(self) -> Mapping[str, Any]:
        """Features beside image, image id and label."""
        return {}

    def _build_data_dir(self, given_data_dir: str | None) -> tuple[str, str]:
        """TFDS's folder, with the name of the config that the data is stored as."""
        root, folder = super()._build_data_dir(given_data_dir)
        path = epath.Path(folder)
        return root, os.fspath(path.parent.parent / self._level_config.stored_as / path.name)

    def _features(self) -> tfds.features.FeaturesDict:
        return self._features_over(self._known_taxonomy())

    def _features_over(self, known: Taxonomy | None) -> tfds.features.FeaturesDict:
        if not self.is_leaf_view:
            label: tfds.features.ClassLabel = LevelLabel(self._level_config.level, known)
        elif known is None:
            label = tfds.features.ClassLabel()
        else:
            label = tfds.features.ClassLabel(names=leaf_names(known))
        return tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "image_id": tfds.features.Text(),
                **self._extra_features(),
                "label": label,
            }
        )

    def _learn_taxonomy(self) -> None:
        """Completes a view's label from the taxonomy stored with the data."""
        if self.is_leaf_view or self._known_taxonomy() is not None or not self.is_prepared():
            return
        label = self.info.features["label"]
        if label.num_classes is None:
            label.set_taxonomy(stored_taxonomy.read(self.info))

    def download_and_prepare(self, **kwargs: Any) -> None:
        """As TFDS's own; `download_config` may be a `PrepareConfig`.

        A level's config prepares the leaves, which all levels share. Killed at any moment, the
        same call continues where the work stopped.

        Raises:
          SourceError: where the source is missing, ambiguous or not as its layout says.
          PreparationError: where the work cannot go on; see its message.
        """
        if not self.is_leaf_view:
            self._leaf_builder().download_and_prepare(**kwargs)
            self.info.read_from_directory(self._prepared_path)
            self._learn_taxonomy()
            return
        config = as_prepare_config(kwargs.get("download_config"))
        kwargs["download_config"] = config
        if self.is_prepared() and not config.download_mode.overwrite_dataset:
            self._check_prepared(config)
            self._check_source(config)
        try:
            super().download_and_prepare(**kwargs)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise PreparationError(
                f"the disk is full: {disk_size(disk_free(self._prepared_path.parent) or 0)} are "
                f"free in {self._prepared_path.parent}, too few for the metadata beside the data. "
                "Make space and run the same command again: finished work is kept"
            ) from error
        self._staging.rmtree(missing_ok=True)

    def _leaf_builder(self) -> LeveledBuilder:
        return type(self)(**{**self._given, "config": self._level_config.stored_as})

    @property
    def _staging(self) -> epath.Path:
        path = self._prepared_path
        return path.with_name(path.name + STAGING_SUFFIX)

    def _shards_of(self, split: str) -> tfds.core.ShardedFileTemplate:
        """TFDS's names of a split's shards."""
        return tfds.core.ShardedFileTemplate(
            split=split,
            dataset_name=self.name,
            data_dir=self.data_path,
            filetype_suffix=self.info.file_format.file_suffix,
        )

    def _download_and_prepare(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: PrepareConfig,
    ) -> None:
        source, taxonomy = self._find_source(dl_manager, download_config)
        preparation = Preparation(
            source=source,
            features=self._features_over(taxonomy),
            filename_template=self._shards_of,
            file_format=self.info.file_format.value,
            num_classes=taxonomy.num_leaves,
            split_rule=self._split_rule(source, download_config),
            class_rule=self._class_rule(taxonomy),
            settings={
                "version": str(self.version),
                "taxonomy": taxonomy.fingerprint,
                **self._settings(source, download_config),
            },
            config=download_config,
            staging=self._staging,
            max_skipped_share=self._max_skipped_share,
            check_plan=functools.partial(self._check_plan, taxonomy=taxonomy),
            write_state=functools.partial(self._write_state, source),
            compare=self._compare,
        )
        ours = self.data_path  # where TFDS wants the data before it is renamed
        temporary = self._prepared_path.parent.glob(f"{constants.INCOMPLETE_PREFIX}*")
        version = self._prepared_path.name
        stale = [path for path in temporary if path.name.endswith(version) and path != ours]
        infos, remaining = preparation.run(stale)
        if remaining is not None:
            taxonomy = self._taxonomy_of(taxonomy, remaining)
        label = self.info.features["label"]
        if label.num_classes is None:
            label.names = leaf_names(taxonomy)
        self.info.metadata.update(stored_taxonomy.metadata(taxonomy))
        ours.rmdir()
        preparation.final.rename(ours)
        self.info.set_splits(tfds.core.SplitDict(infos))


def leaf_names(taxonomy: Taxonomy) -> list[str]:
    """The leaves' display names where each is unique, else all their ids."""
    names = [taxonomy.names[node] for node in taxonomy.leaf_nodes]
    return names if len(set(names)) == len(names) else list(taxonomy.leaf_ids)


def as_prepare_config(config: tfds.download.DownloadConfig | None) -> PrepareConfig:
    """TFDS's settings as ours."""
    if isinstance(config, PrepareConfig):
        return config
    fields = dataclasses.fields(config) if config is not None else ()
    return PrepareConfig(**{field.name: getattr(config, field.name) for field in fields})


__all__ = [
    "LevelConfig",
    "LevelLabel",
    "LeveledBuilder",
    "PreparationError",
    "PreparationRefused",
    "PrepareConfig",
    "class_names",
    "leaf_names",
]
