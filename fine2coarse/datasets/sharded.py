"""Images in shards that hold their labels too: what WebDataset's and Parquet's builders share.

Labels are read first, from all shards, which decides the classes and their taxonomy
(`shard_scan.py`, `shard_labels.py`); then the images, in units of at most 64 MiB.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import glob
import hashlib
import itertools
import json
import logging
import os
import pathlib
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from fine2coarse.archives.archives import Skip
from fine2coarse.datasets.folder import DATASET_INFO, hold_out_of_each_class
from fine2coarse.datasets.folder_layout import TRAIN
from fine2coarse.datasets.label_levels import WORDNET
from fine2coarse.datasets.leveled import (
    STAGING_SUFFIX,
    LevelConfig,
    LeveledBuilder,
    PrepareConfig,
)
from fine2coarse.datasets.shard_counts import tell_of_missing
from fine2coarse.datasets.shard_files import (
    MISSING_SPLIT_HINT,
    NoShards,
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
    NO_CLASS,
    UNUSABLE,
    ShardReader,
    ShardScan,
    check_scans,
    repeated_keys,
    scan_all,
    scan_path,
)
from fine2coarse.files import read_json, write_json
from fine2coarse.preparation.file_batches import (
    MAX_BATCH_BYTES,
    MAX_BATCH_FILES,
    SourceImage,
    digest,
)
from fine2coarse.preparation.preparation_report import damaged, lost_images
from fine2coarse.preparation.shards import Plan, SplitRule
from fine2coarse.preparation.spill import SpillIndex
from fine2coarse.taxonomy.taxonomy import Taxonomy
from fine2coarse.taxonomy.taxonomy_file import AUTO, check_format

_log = logging.getLogger(__name__)

STATE_NAME = "source_shards.json"
"""What the shards were, beside the data that was prepared from them."""
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
        if TRAIN not in plan.splits:
            return
        seen = np.unique(plan.splits[TRAIN].labels)
        missing = np.setdiff1d(np.arange(taxonomy.num_leaves), seen)
        if len(missing):
            names = [taxonomy.names[taxonomy.leaf_nodes[n]] for n in missing[:_NUM_NAMES_TOLD]]
            _log.warning(
                "%d of %d classes have no image to train on, such as %s",
                len(missing),
                taxonomy.num_leaves,
                ", ".join(names),
            )

    def _write_state(
        self, source: ShardedSource, folder: epath.Path, indices: Sequence[SpillIndex]
    ) -> None:
        del indices
        digests = {
            shard.name: ShardScan.load(source.scan_path(shard)).digest for shard in source.shards
        }
        files = _file_digests(self._shards_config.label_files())
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


@dataclasses.dataclass(frozen=True, eq=False)
class ShardedSource:
    """Shards whose labels are known.

    Attributes:
      reader: of their format.
      shards: by name.
      scans: folder of what was found in each.
      leaf_of: row of labels → leaf label.
      test_share: share of each class to test on; 0 where names say the split of every image.
    """

    reader: ShardReader
    shards: tuple[ShardFile, ...]
    scans: pathlib.Path
    leaf_of: Mapping[LabelRow, int]
    test_share: float

    @property
    def kind(self) -> str:
        """For people to read."""
        told = f"{len(self.shards)} {self.reader.what}"
        if not self.test_share:
            return told
        return f"{told} without a test split; {100 * self.test_share:g}% of each class held out"

    @property
    def num_bytes(self) -> int:
        """Size of the shards."""
        return sum(shard.size for shard in self.shards)

    @property
    def can_be_shared(self) -> bool:
        """Whether workers can read parts of it on their own: any shard is read by itself."""
        return True

    def identity(self) -> Mapping[str, object]:
        """Kind, number and size of the shards, and a digest of names, sizes and times now."""
        stamps = []
        for shard in self.shards:
            try:
                found = os.stat(shard.path)  # noqa: PTH116
                stamps.append((shard.name, found.st_size, found.st_mtime_ns))
            except FileNotFoundError:
                stamps.append((shard.name, -1, 0))
        return {
            "kind": self.kind,
            "files": len(self.shards),
            "num_bytes": sum(size for _, size, _ in stamps),
            "state": digest(stamps),
        }

    def scan_path(self, shard: ShardFile) -> pathlib.Path:
        """Where the scan of a shard is."""
        return scan_path(self.scans, self.reader, shard)

    def units(self, finished: Container[str]) -> Iterator[ShardUnit]:
        """Yields parts of the shards, in their order."""
        del finished
        scans: dict[str, list[pathlib.Path]] = {}
        for shard in self.shards:
            scans.setdefault(shard.split, []).append(self.scan_path(shard))
        repeated_of = repeated_keys(scans)
        for shard in self.shards:
            path = self.scan_path(shard)
            scan = ShardScan.load(path)
            repeated = repeated_of(shard.split, path)
            labels = tuple(self.leaf_of.get(row, -1) for row in scan.label_rows)
            for number, (begin, end) in enumerate(parts(scan)):
                ours = repeated[(repeated >= begin) & (repeated < end)]
                yield ShardUnit(
                    key=f"{shard.name}/{number:06d}",
                    split=shard.split,
                    num_source_bytes=int(scan.sizes[begin:end].sum()),
                    reader=self.reader,
                    shard=shard,
                    scan_path=str(path),
                    begin=begin,
                    end=end,
                    labels=labels,
                    repeated=frozenset(ours.tolist()),
                )


def parts(scan: ShardScan) -> list[tuple[int, int]]:
    """First image and end of each part of a shard; limits depend on the shard alone.

    A part ends with the first cut at which it has 64 MiB or 2,048 images. A shard without images
    is one part.
    """
    num_images = len(scan.rows)
    ends = np.concatenate([[0], np.cumsum(scan.sizes)])
    bounds = [0]
    for cut in [*scan.cuts.tolist(), num_images]:
        begin = bounds[-1]
        is_full = ends[cut] - ends[begin] >= MAX_BATCH_BYTES or cut - begin >= MAX_BATCH_FILES
        if cut > begin and (is_full or cut == num_images):
            bounds.append(cut)
    return list(itertools.pairwise(bounds)) or [(0, 0)]


@dataclasses.dataclass(frozen=True)
class ShardUnit:
    """A part of a shard.

    Attributes:
      key: the shard's name and the part's number.
      split: of the images; empty where a rule divides them.
      num_source_bytes: size of the images.
      reader: of the shard.
      shard: it.
      scan_path: file of what was found in it.
      begin: its first image.
      end: behind its last one.
      labels: leaf label of each of the scan's rows of labels; -1 where it is no class.
      repeated: images whose key another shard of the split has too.
    """

    key: str
    split: str
    num_source_bytes: int
    reader: ShardReader
    shard: ShardFile
    scan_path: str
    begin: int
    end: int
    labels: tuple[int, ...]
    repeated: frozenset[int]

    def read(self) -> Iterator[SourceImage | Skip]:
        """Yields the images; in the shard's first part after what gives none.

        Raises:
          ShardsError: where the shard is not what it was when its labels were read.
        """
        scan = ShardScan.load(self.scan_path)
        if not self.shard.is_unchanged():
            raise ShardsError(
                f"{self.shard.path}: it was changed while it was read; run the same command again"
            )
        if self.begin == 0:
            yield from scan.skips
        for number, data in self.reader.images(self.shard, scan, self.begin, self.end):
            name = f"{self.shard.name}/{self._key(scan, number)}"
            row = int(scan.rows[number])
            if isinstance(data, Skip):
                yield dataclasses.replace(data, name=name)
            elif self.labels[row] < 0:
                told = ", ".join(map(repr, scan.label_rows[row]))
                yield Skip(name, NO_CLASS, told)
            else:
                image_id = self._image_id(scan, number)
                yield SourceImage(name, image_id, self.labels[row], data)

    def _key(self, scan: ShardScan, number: int) -> str:
        key = scan.keys[number].decode("utf-8", "backslashreplace")
        return key or f"{int(scan.positions[number]):06d}"

    def _image_id(self, scan: ShardScan, number: int) -> str:
        key = self._key(scan, number)
        needs_shard = number in self.repeated or not scan.keys[number]
        return f"{self.shard.name}/{key}" if needs_shard else key


@dataclasses.dataclass(frozen=True)
class ShardsState:
    """What shards, and the files beside them, were when data was prepared.

    Attributes:
      shards: name → size, time of change in ns, and digest of the scan.
      files: option → digest of the file.
      reader: that gave the digests.
    """

    shards: Mapping[str, tuple[int, int, str]]
    files: Mapping[str, str]
    reader: str

    @classmethod
    def of(
        cls,
        shards: Sequence[ShardFile],
        digests: Mapping[str, str],
        files: Mapping[str, str],
        reader: ShardReader,
    ) -> ShardsState:
        """The state of listed shards."""
        stored = {s.name: (s.size, s.modified_ns, digests[s.name]) for s in shards}
        return cls(stored, files, repr(reader))

    def save(self, folder: epath.PathLike) -> None:
        """Writes it beside prepared data."""
        content = {"shards": self.shards, "files": self.files, "reader": self.reader}
        write_json(epath.Path(folder) / STATE_NAME, content)

    @classmethod
    def load(cls, folder: epath.PathLike) -> ShardsState:
        """Reads it.

        Raises:
          SourceError: where it is damaged.
        """
        path = epath.Path(folder) / STATE_NAME
        try:
            content = read_json(path)
            shards = {name: tuple(fields) for name, fields in content["shards"].items()}
            return cls(shards, content["files"], content["reader"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged(path, error.__cause__ or error) from error

    def changes(
        self, shards: Sequence[ShardFile], files: Mapping[str, str], scan: Callable
    ) -> tuple[str, bool]:
        """What is different now, in words, and whether times of unchanged shards are new.

        Args:
          shards: as they are now.
          files: option → digest, of the files that are there.
          scan: looks through a shard whose name and size are the same, but not its time.
        """
        now = {shard.name: shard for shard in shards}
        new = sorted(now.keys() - self.shards.keys())
        gone = sorted(self.shards.keys() - now.keys())
        told = [f"{len(names)} {what}, such as {names[0]}" for names, what in (
            (new, "new"), (gone, "gone")) if names]  # fmt: skip
        told += [
            f"the file of {key} is another" for key in files if files[key] != self.files.get(key)
        ]
        if told:
            return "; ".join(told), False
        is_touched = False
        for shard in shards:
            size, modified_ns, before = self.shards[shard.name]
            if shard.size != size:
                return f"{shard.name} is changed", False
            if shard.modified_ns != modified_ns:
                if scan(shard).digest != before:
                    return f"{shard.name} is changed", False
                is_touched = True
        return "", is_touched


def find_prepared_shards(
    own: ShardedConfig,
    builder_class: type[ShardedBuilder],
    builder_named: Callable[[str], ShardedBuilder],
    data_dir: str,
) -> ShardedBuilder:
    """The builder of the data prepared from shards as they are now, prepared already or not.

    Data is never prepared over other data: each state of the shards has a folder of its own.

    Args:
      own: its name is what names of the prepared folders begin with.
      builder_class: of the format.
      builder_named: makes the builder whose data lies in a folder of this name.
      data_dir: of all prepared data.

    Raises:
      ShardsError: where there are no shards and nothing was prepared from them.
      SourceError: where what was prepared is damaged.
    """
    root = pathlib.Path(data_dir) / builder_class.name
    earlier = _prepared_folders(root, own.name, str(builder_class.VERSION))
    for folder in earlier:
        if not (folder / DATASET_INFO).is_file():
            raise ShardsError(
                f"{folder}: prepared data without its {DATASET_INFO}; delete that folder and run "
                "the same command to prepare it again"
            )
    reader = own.reader()
    try:
        shards = find_shards(own.source, reader.suffixes, reader.what)
    except NoShards as error:
        if not earlier:
            raise
        _log.info("%s; using the data prepared from it, %s", error, earlier[0])
        return builder_named(earlier[0].parent.name)
    files = _file_digests(own.label_files(), is_needed=not earlier)
    told = ""
    for folder in earlier:
        state = ShardsState.load(folder)
        changes, is_touched = state.changes(shards, files, _scanner(reader, shards, state.reader))
        if not changes:
            if is_touched:
                _save_times(state, shards, folder)
            return builder_named(folder.parent.name)
        told = told or f"{own.source} has changed since {folder} was prepared: {changes}"
    if told:
        _log.info("%s. It is prepared again, beside the old data", told)
        files = _file_digests(own.label_files())
    reader.settled(shards[0])  # what it refuses is refused before a folder is made
    rows = sorted((shard.name, shard.size, shard.modified_ns) for shard in shards)
    taken = {folder.parent.name for folder in earlier}
    names = (f"{own.name}-{_digest([number, rows, files])}" for number in itertools.count())
    new = next(candidate for candidate in names if candidate not in taken)
    for path in root.glob(f"{glob.escape(own.name)}-*/*{STAGING_SUFFIX}"):
        if path.parent.name != new and _is_state_of(path.parent.name, own.name):
            _log.info(
                "%s holds an unfinished preparation of an earlier state of the shards; delete it "
                "to have its space back",
                path,
            )
    return builder_named(new)


def _scanner(
    reader: ShardReader, shards: Sequence[ShardFile], before: str
) -> Callable[[ShardFile], ShardScan]:
    """Looks through shards as it was done before; by another reader, no digest is the same."""
    settled = functools.cache(lambda: reader.settled(shards[0]))

    def scan(shard: ShardFile) -> ShardScan:
        if repr(settled()) != before:
            return ShardScan.failed("read in another way")
        _log.info("%s has another time of change; its labels are compared", shard.path)
        return settled().scan(shard)

    return scan


def _save_times(state: ShardsState, shards: Sequence[ShardFile], folder: pathlib.Path) -> None:
    stored = {s.name: (s.size, s.modified_ns, state.shards[s.name][2]) for s in shards}
    try:
        dataclasses.replace(state, shards=stored).save(folder)
    except OSError:  # a folder that others prepared
        _log.debug("%s cannot be written", folder)


def _file_digests(files: Mapping[str, str], *, is_needed: bool = True) -> dict[str, str]:
    """Option → digest of its file.

    Args:
      files: option → path.
      is_needed: whether a missing one is an error; else it is left out.
    """
    found = {}
    for option, path in files.items():
        file = pathlib.Path(path)
        if file.is_file():
            found[option] = hashlib.sha256(file.read_bytes()).hexdigest()
        elif is_needed:
            hint = f", or '{WORDNET}'" if option == "taxonomy" else ""
            raise ShardsError(f"{option}={path}: no such file; expected the path of one{hint}")
    return found


def _prepared_folders(root: pathlib.Path, name: str, version: str) -> list[pathlib.Path]:
    """Folders of data prepared under a name, the last first."""
    found = root.glob(f"{glob.escape(name)}-*/{version}/{STATE_NAME}")
    exact = [path for path in found if _is_state_of(path.parts[-3], name)]
    return [path.parent for path in sorted(exact, key=lambda path: -path.stat().st_mtime_ns)]


def _is_state_of(folder: str, name: str) -> bool:
    return folder.startswith(name) and bool(re.fullmatch(r"-[0-9a-f]{8}", folder[len(name) :]))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]
