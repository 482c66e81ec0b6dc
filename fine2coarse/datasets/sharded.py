"""Images in shards that hold their labels too: what WebDataset's and Parquet's builders share.

Labels are read first, from all shards, which decides the classes and their taxonomy
(`shard_scan.py`, `shard_labels.py`); then the images, in units of about 64 MiB
(`shard_source.py`).
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import logging
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds
from etils import epath

from fine2coarse.datasets.folder import hold_out_of_each_class, untrained_classes
from fine2coarse.datasets.folder_layout import MISSING_SPLIT_HINT
from fine2coarse.datasets.label_levels import WORDNET
from fine2coarse.datasets.leveled import LevelConfig, LeveledBuilder, PrepareConfig
from fine2coarse.datasets.shard_counts import tell_of_missing
from fine2coarse.datasets.shard_files import (
    ShardFile,
    ShardsError,
    find_shards,
    with_held_out,
)
from fine2coarse.datasets.shard_labels import (
    LabelColumn,
    LabelRow,
    check_labels,
    read_classes,
    resolve_labels,
)
from fine2coarse.datasets.shard_scan import (
    UNUSABLE,
    ShardReader,
    ShardScan,
    check_scans,
    scan_all,
    scan_path,
)
from fine2coarse.datasets.shard_source import ShardedSource
from fine2coarse.datasets.shard_state import ShardsState, file_digests
from fine2coarse.preparation.preparation_report import lost_images
from fine2coarse.preparation.shards import Plan, SplitRule
from fine2coarse.preparation.spill import SpillIndex
from fine2coarse.taxonomy.taxonomy import Taxonomy
from fine2coarse.taxonomy.taxonomy_file import AUTO, check_format

_log = logging.getLogger(__name__)

_NUM_NAMES_TOLD = 3


@dataclasses.dataclass(kw_only=True, eq=False)
class ShardedConfig(LevelConfig):
    """Where the shards lie; `name` names the folder of the prepared data.

    Attributes:
      source: see `shard_files.find_shards`; needed to prepare, not to read.
      max_skipped_share: preparing stops where more than this share of a split's images cannot be
        used.
      test_share: share of each class that becomes the split `test`, where no name says one; None
        for a fifth of shards without splits.
      taxonomy: 'wordnet', a taxonomy's file, or empty: see `shard_labels.resolve_labels`.
      taxonomy_format: of that file: see `taxonomy_file.read_taxonomy_file`.
      classes: file of the ids that the labels' integers stand for, one a line; or empty.
    """

    level: str = "leaf"
    stored_as: str = ""
    source: str = ""
    max_skipped_share: float = 0.01
    test_share: float | None = None
    taxonomy: str = ""
    taxonomy_format: str = AUTO
    classes: str = ""

    def __post_init__(self) -> None:
        """Checks the shares."""
        self.stored_as = self.name
        if not 0 <= self.max_skipped_share <= 1:
            raise ShardsError(
                f"max_skipped_share is from 0 to 1, got {self.max_skipped_share}: the share of "
                "images that may be unusable"
            )
        if self.test_share is not None and not 0 < self.test_share < 1:
            raise ShardsError(f"test_share is above 0 and below 1, got {self.test_share}")
        check_format(self.taxonomy_format)

    def reader(self) -> ShardReader:
        """What reads the shards, as far as it was given."""
        raise NotImplementedError

    def label_files(self) -> dict[str, str]:
        """The files beside the shards that decide what labels mean: option → path."""
        named = {"classes": self.classes, "taxonomy": self.taxonomy}
        return {option: path for option, path in named.items() if path and path != WORDNET}


class ShardedBuilder(LeveledBuilder, skip_registration=True):
    """Base of the builders of shards; a subclass has its config's class and a version."""

    MISSING_SPLIT_HINT = MISSING_SPLIT_HINT
    REPEATED_HINT = "give each image a name of its own"

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            features=self._features(),
            supervised_keys=("image", "label"),
            metadata=tfds.core.MetadataDict(),
        )

    def _known_taxonomy(self) -> Taxonomy | None:
        return None  # it comes with the labels

    @property
    def _shards_config(self) -> ShardedConfig:
        return self.builder_config

    def _find_source(
        self, dl_manager: tfds.download.DownloadManager, config: PrepareConfig
    ) -> tuple[ShardedSource, Taxonomy]:
        del dl_manager
        own = self._shards_config
        folder = pathlib.Path(os.fspath(self._staging)) / "labels"
        scanned = scan_source(
            own, folder, num_workers=config.num_workers, show_progress=config.show_progress
        )
        return scanned.source, scanned.taxonomy

    def _split_rule(self, source: ShardedSource, config: PrepareConfig) -> SplitRule:
        del config
        return functools.partial(hold_out_of_each_class, test_share=source.test_share)

    def _settings(self, source: ShardedSource, config: PrepareConfig) -> Mapping[str, Any]:
        del config
        return {"test_share": source.test_share, "reader": repr(source.reader)}

    @property
    def _max_skipped_share(self) -> float:
        return self._shards_config.max_skipped_share

    def _check_plan(self, plan: Plan, taxonomy: Taxonomy) -> None:
        """Refuses ids that repeat too often; tells of classes that have no image to train on."""
        num_repeated = len(plan.repeated)
        num_images = num_repeated + sum(split.num_examples for split in plan.splits.values())
        if num_repeated > self._max_skipped_share * num_images:
            first = plan.repeated[0]
            raise ShardsError(
                f"{self._shards_config.source}: {num_repeated} of {num_images} images have an "
                f"image id that an earlier one of their split has, such as {first.name} "
                f"({first.detail}). That is more than max_skipped_share="
                f"{self._max_skipped_share:g}: {self.REPEATED_HINT}"
            )
        missing = untrained_classes(plan, taxonomy)
        if missing:
            _log.warning(
                "%d of %d classes have no image to train on, such as %s",
                len(missing),
                taxonomy.num_leaves,
                ", ".join(missing[:_NUM_NAMES_TOLD]),
            )

    def _write_state(
        self, source: ShardedSource, folder: epath.Path, indices: Sequence[SpillIndex]
    ) -> None:
        del indices
        digests = {
            shard.name: ShardScan.load(source.scan_path(shard)).digest for shard in source.shards
        }
        files = file_digests(self._shards_config.label_files())
        ShardsState.of(source.shards, digests, files, source.reader).save(folder)


@dataclasses.dataclass(frozen=True, eq=False)
class ScannedSource:
    """Shards after a look through all labels.

    Attributes:
      source: them.
      taxonomy: over the labels.
    """

    source: ShardedSource
    taxonomy: Taxonomy


def scan_source(
    own: ShardedConfig,
    folder: pathlib.Path,
    *,
    num_workers: int = 1,
    show_progress: bool = False,
) -> ScannedSource:
    """Looks through the labels of all shards; what is wrong with one shard's is told before.

    Args:
      own: where the shards lie, and what their labels mean.
      folder: for the scans.
      num_workers: processes.
      show_progress: whether to draw a bar.

    Raises:
      ShardsError: where there are no shards, some cannot be read, or labels are not as expected.
      TaxonomyError: where labels do not nest, or the taxonomy has others.
    """
    reader = own.reader()
    found = find_shards(own.source, reader.suffixes, reader.what)
    shards, test_share = with_held_out(found, own.test_share)
    meaning = {
        "taxonomy": own.taxonomy,
        "classes": read_classes(own.classes) if own.classes else None,
        "where": own.source,
    }
    reader = reader.settled(shards[0])
    smallest = [min(shards, key=lambda shard: shard.size)]
    scan_all(reader, smallest, folder)
    columns, rows = _labels(reader, smallest, folder)
    if rows:
        check_labels(columns, rows, **meaning)
    scan_all(reader, shards, folder, num_workers=num_workers, show_progress=show_progress)
    check_scans(reader, shards, folder)
    tell_of_missing(shards, _num_images(reader, shards, folder))
    columns, rows = _labels(reader, shards, folder)
    if not rows:
        raise ShardsError(f"{own.source}: no image has a label{_why_none(reader, shards, folder)}")
    resolved = resolve_labels(columns, rows, taxonomy_format=own.taxonomy_format, **meaning)
    source = ShardedSource(reader, tuple(shards), folder, resolved.leaf_of, test_share)
    return ScannedSource(source, resolved.taxonomy)


def _labels(
    reader: ShardReader, shards: Sequence[ShardFile], folder: pathlib.Path
) -> tuple[Sequence[LabelColumn], set[LabelRow]]:
    """The columns of labels, which are the same in all shards, and the rows that occur."""
    columns: Sequence[LabelColumn] = ()
    rows: set[LabelRow] = set()
    for shard in shards:
        scan = ShardScan.load(scan_path(folder, reader, shard))
        rows.update(scan.label_rows)
        columns = columns or scan.columns
        for ours, others in zip(columns, scan.columns):
            if ours != others:
                raise ShardsError(
                    f"{shard.path} and {shards[0].path} name the classes of {ours.name!r} in "
                    f"different ways: {_shown(others)} and {_shown(ours)}; read shards of one "
                    "dataset alone"
                )
    return columns, rows


def _num_images(
    reader: ShardReader, shards: Sequence[ShardFile], folder: pathlib.Path
) -> dict[str, int]:
    """Name of each shard → keys or rows in it, those that cannot be used too."""
    found = {}
    for shard in shards:
        scan = ShardScan.load(scan_path(folder, reader, shard))
        num_left_out = sum(skip.reason in UNUSABLE for skip in scan.skips)
        found[shard.name] = len(scan.rows) + num_left_out
    return found


def _why_none(reader: ShardReader, shards: Sequence[ShardFile], folder: pathlib.Path) -> str:
    """What was left out where nothing is left; empty where there was nothing at all."""
    scans = [ShardScan.load(scan_path(folder, reader, shard)) for shard in shards]
    skips = lost_images(skip for scan in scans for skip in scan.skips)
    numbers = collections.Counter(skip.reason for skip in skips)
    told = []
    for reason, number in numbers.most_common():
        skip = next(skip for skip in skips if skip.reason == reason)
        example = f"{skip.name} ({skip.detail})" if skip.detail else skip.name
        told.append(f"{reason}: {number:,}, such as {example}")
    return f"; {'; '.join(told)}" if told else ""


def _shown(column: LabelColumn) -> str:
    if column.classes is None:
        return "not at all"
    return f"{list(column.classes[:_NUM_NAMES_TOLD])} of {len(column.classes)}"
