"""A user's photographs: a folder (or archive) of class folders, and a `taxonomy.csv`.

```
photos/                        or photos.tar, .tar.gz, .zip, with or without a folder around it all
  taxonomy.csv                 fine,coarse,macro    (levels, finest first)
  train/Royal-Gala/001.jpg     {train,val,test}/<fine class>/<file>
```

Without train/, val/ and test/ a share of each class is held out to test on (`test_share`). Files
are recognised by content, not by name; each is accounted for: used, or named in `skipped.csv`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import pathlib
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from fine2coarse.archives.archives import Skip
from fine2coarse.archives.file_tree import FileTree, ListedFile, open_tree
from fine2coarse.datasets.folder_layout import (
    DEFAULT_TEST_SHARE,
    MISSING_SPLIT_HINT,
    SPLITS,
    TEST,
    TRAIN,
    UNSPLIT,
    FolderError,
    FolderLayout,
    LabelledFile,
    empty_classes,
    read_layout,
)
from fine2coarse.datasets.leveled import LevelConfig, LeveledBuilder, PrepareConfig
from fine2coarse.datasets.state_folders import StateFolders
from fine2coarse.preparation.file_batches import MAX_BATCH_BYTES, MAX_BATCH_FILES, SourceImage
from fine2coarse.preparation.shards import Plan, SplitPlan, SplitRule
from fine2coarse.preparation.source_state import (
    STATE_NAME,
    UNUSABLE,
    SourceState,
    changes_since,
    listing_digest,
)
from fine2coarse.preparation.spill import SpillIndex, stored_name
from fine2coarse.taxonomy.taxonomy import Taxonomy

_log = logging.getLogger(__name__)


@dataclasses.dataclass(kw_only=True, eq=False)
class FolderConfig(LevelConfig):
    """Where the photographs lie; `name` names the folder of the prepared data.

    Attributes:
      source: the folder or the archive; needed to prepare, not to read.
      max_skipped_share: preparing stops where more than this share of a split's images cannot be
        used.
      flat: there is no taxonomy.csv: the class folders are the leaves, with nothing above them.
        Enough for images to test on, whose taxonomy is another dataset's.
      test_share: share of each class that becomes the split `test`, where there is none; None for
        a fifth of a folder without splits. The same files whoever prepares them.
    """

    level: str = "leaf"
    stored_as: str = ""
    source: str = ""
    max_skipped_share: float = 0.01
    flat: bool = False
    test_share: float | None = None

    def __post_init__(self) -> None:
        """Checks the shares."""
        self.stored_as = self.name
        if not isinstance(self.flat, bool):
            raise FolderError(f"flat is True or False, got {self.flat!r}")
        if not 0 <= self.max_skipped_share <= 1:
            raise FolderError(
                f"max_skipped_share is from 0 to 1, got {self.max_skipped_share}: the share of "
                "images that may be unusable"
            )
        if self.test_share is not None and not 0 < self.test_share < 1:
            raise FolderError(f"test_share is above 0 and below 1, got {self.test_share}")


class LabelledFolder(LeveledBuilder):
    """Photographs in class folders, with a taxonomy.csv."""

    MISSING_SPLIT_HINT = MISSING_SPLIT_HINT
    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {
        "2.0.0": "Upright, lossless where the source is; in the order of the ids' hashes."
    }
    BUILDER_CONFIG_CLASS = FolderConfig

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=self._features(),
            supervised_keys=("image", "label"),
            metadata=tfds.core.MetadataDict(),
        )

    def _known_taxonomy(self) -> Taxonomy | None:
        return None  # it comes with the folder

    @property
    def _folder_config(self) -> FolderConfig:
        return self.builder_config

    def _find_source(
        self, dl_manager: tfds.download.DownloadManager, config: PrepareConfig
    ) -> tuple[FolderSource, Taxonomy]:
        del dl_manager, config
        own = self._folder_config
        source = FolderSource.find(pathlib.Path(own.source), own.flat, own.test_share)
        return source, source.layout.taxonomy

    def _split_rule(self, source: FolderSource, config: PrepareConfig) -> SplitRule:
        del config
        return functools.partial(hold_out_of_each_class, test_share=source.test_share)

    def _settings(self, source: FolderSource, config: PrepareConfig) -> Mapping[str, Any]:
        del config
        return {"test_share": source.test_share}

    @property
    def _max_skipped_share(self) -> float:
        return self._folder_config.max_skipped_share

    def _write_state(
        self, source: FolderSource, folder: epath.Path, indices: Sequence[SpillIndex]
    ) -> None:
        listed = {stored_name(file.name): file.name for file in source.layout.files}
        digests = {
            listed[name]: tuple(digest)
            for index in indices
            for name, digest in zip(index.names.tolist(), index.digests.tolist())
        }
        for images in source.layout.splits.values():
            for image in images:
                digests.setdefault(image.file.name, UNUSABLE)
        digests |= source.layout.table_digest
        SourceState.of(source.layout.files, digests).save(folder)

    def _check_plan(self, plan: Plan, taxonomy: Taxonomy) -> None:
        """Raises FolderError where a class is left without an image to train on."""
        missing = () if self._folder_config.flat else untrained_classes(plan, taxonomy)
        if missing:
            raise empty_classes(self._folder_config.source, [f"{TRAIN}/{name}" for name in missing])


@dataclasses.dataclass(frozen=True, eq=False)
class FolderSource:
    """A folder or archive of photographs.

    Attributes:
      tree: its files.
      layout: what they are.
      test_share: share of each class to test on; 0 where a folder names the test images.
    """

    tree: FileTree
    layout: FolderLayout
    test_share: float

    @classmethod
    def find(cls, path: pathlib.Path, is_flat: bool, test_share: float | None) -> FolderSource:
        """Lists a folder or archive.

        Raises:
          FolderError: where it is not laid out as expected, or a share is to be held out to test
            on though there are images for that.
          SourceError: where an archive is damaged.
          TaxonomyError: where the rows of taxonomy.csv contradict each other.
        """
        tree = open_tree(path)
        layout = read_layout(tree, str(path), is_flat=is_flat)
        if TEST in layout.splits and test_share is not None:
            raise FolderError(
                f"{path}: test_share={test_share:g} was given, but there is a folder of test "
                "images; leave test_share out"
            )
        if UNSPLIT in layout.splits:
            return cls(tree, layout, DEFAULT_TEST_SHARE if test_share is None else test_share)
        if test_share is None:
            return cls(tree, layout, 0.0)
        splits = dict(layout.splits)
        splits[UNSPLIT] = splits.pop(TRAIN, ())
        skips = dict(layout.skips)
        skips[UNSPLIT] = [*skips.get(UNSPLIT, ()), *skips.pop(TRAIN, ())]
        layout = dataclasses.replace(layout, splits=splits, skips=skips)
        return cls(tree, layout, test_share)

    @property
    def kind(self) -> str:
        """For people to read."""
        told = f"{self.tree.kind} of class folders"
        if UNSPLIT not in self.layout.splits:
            return told
        return f"{told} without a test split; {100 * self.test_share:g}% of each class held out"

    @property
    def num_bytes(self) -> int:
        """Size of the images."""
        return sum(image.file.size for images in self.layout.splits.values() for image in images)

    @property
    def can_be_shared(self) -> bool:
        """Whether workers can read parts of it on their own."""
        return self.tree.has_random_access

    def identity(self) -> Mapping[str, object]:
        """Kind, and number and size of the files."""
        files = self.layout.files
        return {"kind": self.kind, "files": len(files), "num_bytes": sum(f.size for f in files)}

    def units(self, finished: Container[str]) -> Iterator[FolderBatch]:
        """Yields batches of images; of an archive that is a stream, with their bytes."""
        batches = list(self._batches())
        if self.tree.has_random_access:
            yield from batches
            return
        # A stream is read once, from its beginning: a batch is given on once it is complete.
        batch_of = {image.file: batch for batch in batches for image in batch.images}
        wanted = [file for file, batch in batch_of.items() if batch.key not in finished]
        left = {batch.key: len(batch.images) for batch in batches}
        bytes_of: dict[str, dict[ListedFile, bytes]] = {batch.key: {} for batch in batches}
        for batch in batches:
            if batch.key in finished or not batch.images:
                yield dataclasses.replace(batch, data={})
        for file, data in self.tree.read(wanted):
            batch = batch_of[file]
            bytes_of[batch.key][file] = data
            left[batch.key] -= 1
            if not left[batch.key]:
                yield dataclasses.replace(batch, data=bytes_of.pop(batch.key))

    def _batches(self) -> Iterator[FolderBatch]:
        """Batches whose limits depend on the source alone; the first of a split has its skips."""
        present = [*SPLITS, UNSPLIT]
        for split in present:
            images = self.layout.splits.get(split, ())
            skips = tuple(self.layout.skips.get(split, ()))
            if not images and not skips:
                continue
            ordered = sorted(images, key=_in_archive)
            for number, part in enumerate(_parts(ordered) or [()]):
                key = f"{split or 'all'}/{number:06d}"
                tree = self.tree if self.tree.has_random_access else None
                yield FolderBatch(key, split, tree, tuple(part), skips if number == 0 else ())


def _in_archive(image: LabelledFile) -> tuple[int, str]:
    """Orders images as they lie in their archive, so that a batch of a stream fills up early."""
    entry = image.file.entry
    return (0 if entry is None else entry.position, image.file.name)


def _parts(images: Sequence[LabelledFile]) -> list[list[LabelledFile]]:
    parts: list[list[LabelledFile]] = []
    num_bytes = 0
    for image in images:
        if not parts or num_bytes >= MAX_BATCH_BYTES or len(parts[-1]) >= MAX_BATCH_FILES:
            parts.append([])
            num_bytes = 0
        parts[-1].append(image)
        num_bytes += image.file.size
    return parts


@dataclasses.dataclass(frozen=True)
class FolderBatch:
    """Some files of a folder or archive.

    Attributes:
      key: split and number.
      split: of the images; empty where a rule divides them.
      tree: where to read them; None where `data` has them.
      images: them.
      skips: what gives no example.
      data: bytes of each file, where they come from a stream.
    """

    key: str
    split: str
    tree: FileTree | None
    images: tuple[LabelledFile, ...]
    skips: tuple[Skip, ...]
    data: Mapping[ListedFile, bytes] | None = None

    @property
    def num_source_bytes(self) -> int:
        """Size of the files."""
        return sum(image.file.size for image in self.images)

    def read(self) -> Iterator[SourceImage | Skip]:
        """Yields the skips, then the images."""
        yield from self.skips
        image_of = {image.file: image for image in self.images}
        files = self.data.items() if self.data is not None else self.tree.read(image_of)
        for file, data in files:
            image = image_of[file]
            yield SourceImage(file.name, image.image_id, image.label, data)


def hold_out_of_each_class(images: SplitPlan, test_share: float) -> Mapping[str, SplitPlan]:
    """Divides images, which come in the order of their ids' hashes: the first of each class test.

    Args:
      images: all, in shuffled order.
      test_share: of each class, rounded; at least one image of every class that has two.
    """
    by_class = np.argsort(images.labels, kind="stable")  # keeps the shuffled order in each class
    _, first, sizes = np.unique(images.labels[by_class], return_index=True, return_counts=True)
    counts = np.minimum(np.maximum(1, np.rint(test_share * sizes)), sizes - 1)
    rank = np.arange(images.num_examples) - np.repeat(first, sizes)
    is_test = np.zeros(images.num_examples, bool)
    is_test[by_class] = rank < np.repeat(counts, sizes)
    return {
        TRAIN: images.take(np.flatnonzero(~is_test)),
        TEST: images.take(np.flatnonzero(is_test)),
    }


def untrained_classes(plan: Plan, taxonomy: Taxonomy) -> list[str]:
    """Names of the classes without an image in `train`; none where there is no such split."""
    if TRAIN not in plan.splits:
        return []
    seen = np.unique(plan.splits[TRAIN].labels)
    missing = np.setdiff1d(np.arange(taxonomy.num_leaves), seen)
    return [taxonomy.names[taxonomy.leaf_nodes[label]] for label in missing]


def find_prepared(
    source: pathlib.Path,
    name: str,
    builder_named: Callable[[str], LabelledFolder],
    data_dir: str,
) -> LabelledFolder:
    """The builder of the data prepared from a source as it is now, prepared already or not.

    Data is never prepared over other data: each state of the source has a folder of its own, and
    a source that went back to an earlier state finds that one's again.

    Args:
      source: the folder or archive. Where it is gone, what was prepared last is taken.
      name: that the names of the prepared folders begin with.
      builder_named: makes the builder whose data lies in a folder of this name.
      data_dir: of all prepared data.

    Raises:
      FolderError: where the source is gone and nothing was prepared from it.
      SourceError: where the source is a damaged archive, or what was prepared is damaged.
    """
    folders = StateFolders(
        pathlib.Path(data_dir) / LabelledFolder.name, name, str(LabelledFolder.VERSION)
    )
    earlier = folders.prepared(STATE_NAME)
    if not source.exists():
        if not earlier:
            raise FolderError(f"{str(source)!r}: no such folder or archive")
        _log.info("%s does not exist; using the data prepared from it, %s", source, earlier[0])
        return builder_named(earlier[0].parent.name)
    tree = open_tree(source)
    states = {folder: SourceState.load(folder) for folder in earlier}
    for folder, state in states.items():
        if state is not None and state.is_of_archive(tree):
            return builder_named(folder.parent.name)
    listed = tree.list_files().files
    told = ""
    for folder, state in states.items():
        if state is None:
            continue
        changes = changes_since(state, tree, listed)
        if not changes:
            if changes.touched:
                with contextlib.suppress(OSError):  # a folder that others prepared
                    SourceState.of(listed, state.digest_of).save(folder)
            return builder_named(folder.parent.name)
        told = told or f"{source} has changed since {folder} was prepared: {changes}"
    if told:
        _log.info("%s. It is prepared again, beside the old data", told)
    new = folders.new_name(earlier, lambda number: listing_digest(listed, number))
    folders.tell_of_unfinished(new, "the photographs")
    return builder_named(new)
