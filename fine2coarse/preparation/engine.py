"""Prepares a dataset; it can be killed at any moment and continues where it stopped.

Two halves, each of many tasks that leave whole files behind: units of the source become spills
(`spill.py`), spills become shards (`shards.py`). All this happens in a *staging folder* beside
the dataset's own, which appears only when everything is in it.
"""

from __future__ import annotations

import concurrent.futures.process
import contextlib
import dataclasses
import errno
import fcntl
import functools
import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from fine2coarse.archives import last_file
from fine2coarse.archives.archives import Skip, SourceError
from fine2coarse.errors import EXIT_USAGE, FailedError, UsageError
from fine2coarse.files import read_json, remove_partial, write_atomic, write_json
from fine2coarse.formats import disk_size
from fine2coarse.image_ids import ImageIds
from fine2coarse.preparation import contents, pool, preparation_report, spill
from fine2coarse.preparation.class_rule import ClassRule, NoClassLeft
from fine2coarse.preparation.comparison import Comparison
from fine2coarse.preparation.file_batches import Source, Unit
from fine2coarse.preparation.record_index import SplitIndex, record_places, write_index
from fine2coarse.preparation.shards import (
    Plan,
    ShardTask,
    SplitRule,
    check_shard,
    make_plan,
    shard_lengths,
    shard_task,
    write_shard,
)
from fine2coarse.terminal import Bar

_log = logging.getLogger(__name__)

SOURCE_NAME = "source.json"
"""What the source was, beside the data that was prepared from it."""
COPIES_OF_SOURCE = 2  # the spills and the shards
_NUM_NAMES_TOLD = 5
_LINE_EVERY_S = 15.0  # where there is no terminal to draw a bar on


class PreparationError(FailedError):
    """A preparation that cannot go on: the message says what to do about it."""


class PreparationRefused(PreparationError):
    """A preparation that was not begun: settings, source or folder must be others first."""

    exit_code = EXIT_USAGE


@dataclasses.dataclass(kw_only=True)
class PrepareConfig(tfds.download.DownloadConfig):
    """TFDS's settings of a preparation, and ours.

    TFDS's `beam_options` have the work done by Beam instead of processes of this machine.

    Attributes:
      num_workers: processes.
      splits: those to prepare; all where None. For datasets whose source names its splits.
      num_validation: images held out, for datasets whose source names no split; None for the
        dataset's own default.
      use_beam: have Beam run the tasks, with `beam_options`.
      check_disk_space: whether to refuse where the disk looks too small.
      show_progress: whether to draw a progress bar.
    """

    num_workers: int = 1
    splits: tuple[str, ...] | None = None
    num_validation: int | None = None
    use_beam: bool = False
    check_disk_space: bool = True
    show_progress: bool = False

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if self.num_workers < 1:
            raise UsageError(f"num_workers must be at least 1, got {self.num_workers}")
        if self.num_validation is not None and self.num_validation < 0:
            raise UsageError(f"num_validation must not be negative, got {self.num_validation}")
        if self.max_examples_per_split is not None:
            raise UsageError("max_examples_per_split is not supported; prepare a smaller source")


@dataclasses.dataclass(frozen=True)
class Preparation:
    """One preparation.

    Attributes:
      source: where the images come from.
      features: of the stored examples.
      filename_template: TFDS's template of the shards' names, for a split.
      file_format: 'tfrecord' or 'array_record'.
      num_classes: leaves, as the source has them.
      split_rule: for sources that name no split.
      class_rule: for the same sources, where a class needs so many images to remain, or holds out
        images of its own; the classes that remain are numbered anew.
      settings: what else shapes the result; JSON-able.
      config: how to go about it.
      staging: folder for everything until it is done.
      max_skipped_share: where more than this share of a split's images is skipped, preparing
        stops; None for any share.
      check_plan: raises SourceError where the examples are not what the dataset needs.
      write_state: writes into a folder what the source's files were, to notice changes by.
      compare: puts what is published of such a source beside what was found.
    """

    source: Source
    features: tfds.features.FeaturesDict
    filename_template: Callable[[str], tfds.core.ShardedFileTemplate]
    file_format: str
    num_classes: int
    split_rule: SplitRule | None
    settings: Mapping[str, Any]
    config: PrepareConfig
    staging: epath.Path
    class_rule: ClassRule | None = None
    max_skipped_share: float | None = None
    check_plan: Callable[[Plan], None] = lambda plan: None
    write_state: Callable[[epath.Path, Sequence[spill.SpillIndex]], None] = lambda *_: None
    compare: Callable[[preparation_report.Report, Plan], tuple[Comparison, ...]] = lambda *_: ()

    @property
    def _spills(self) -> epath.Path:
        return self.staging / "spills"

    @property
    def final(self) -> epath.Path:
        """Folder of the shards and the report, inside the staging folder."""
        return self.staging / "final"

    def run(
        self, stale: Sequence[epath.Path] = ()
    ) -> tuple[list[tfds.core.SplitInfo], np.ndarray | None]:
        """Prepares what is not prepared yet; the result is in `final`.

        Args:
          stale: folders that an earlier run may have moved `final` to, just before it died.

        Returns:
          The splits, and which of the source's classes remain: bool [C], None where all do.

        Raises:
          PreparationError: where the disk is too small, another process is at it, or the staging
            folder belongs to another source or other settings.
        """
        self._check_settings()
        self._spills.mkdir(parents=True, exist_ok=True)
        with _locked(self.staging), pool.TaskPool(self.config.num_workers) as workers:
            identity = self._check_identity()
            self._tidy(stale)
            self._check_disk()
            try:
                keys, source_skips = self._spill_all(workers)
                indices = [spill.read_index(self._spills, key) for key in keys]
                if not any(len(index.sizes) for index in indices):
                    self._fail_without_examples(indices, source_skips)
                self._check_skipped(indices)
                plan = self._make_plan(indices)
                self.check_plan(plan)
                made, skips = preparation_report.make_report(
                    self.source.kind, self._num_classes(plan), indices, plan, source_skips
                )
                made = dataclasses.replace(made, compared=self.compare(made, plan))
                infos = self._write_shards(workers, keys, plan)
                self._check_unchanged(identity)
                contents.write_contents(self.final, _contents(plan))
                write_index(self.final, self._record_index(plan, indices, infos))
                write_json(self.final / SOURCE_NAME, identity)
                self.write_state(self.final, indices)
                preparation_report.write_preparation_report(self.final, made, skips, indices, plan)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                raise PreparationError(self._disk_message("the disk is full: ")) from error
        return infos, plan.remaining

    def _record_index(
        self,
        plan: Plan,
        indices: Sequence[spill.SpillIndex],
        infos: Sequence[tfds.core.SplitInfo],
    ) -> dict[str, SplitIndex]:
        """Ids, labels and places of all images, from what was planned and written."""
        lengths = [len(index.sizes) for index in indices]
        firsts = np.cumsum(lengths) - lengths
        ids = np.concatenate([index.image_ids for index in indices])
        shard_lengths = {info.name: info.shard_lengths for info in infos}
        return {
            name: SplitIndex(
                ImageIds(ids[firsts[split.units] + split.rows]),
                split.labels.astype(np.int32),
                None,
                *record_places(split.sizes, shard_lengths[name], self.file_format),
                split.sizes.astype(np.int32),
            )
            for name, split in plan.splits.items()
        }

    def _make_plan(self, indices: Sequence[spill.SpillIndex]) -> Plan:
        try:
            return make_plan(indices, self.split_rule, self.class_rule)
        except NoClassLeft as error:
            raise NoClassLeft(
                f"{error}; the checked images in {self.staging} are of no use to it: delete them"
            ) from error

    def _num_classes(self, plan: Plan) -> int:
        return self.num_classes if plan.remaining is None else int(plan.remaining.sum())

    def _check_settings(self) -> None:
        if self.config.use_beam and not self.source.can_be_shared:
            raise PreparationRefused(
                f"{self.source.kind}: workers of a cluster cannot share a compressed archive; "
                "decompress it first (images hardly shrink), or prepare without Beam"
            )

    def _check_unchanged(self, before: Mapping[str, Any]) -> None:
        if json.loads(json.dumps(self.source.identity())) != before:
            raise PreparationRefused(
                f"{self.source.kind}: it was changed while it was read; delete {self.staging} and "
                "start again"
            )

    def _check_identity(self) -> dict[str, Any]:
        """What the source is, after checking that it is the one begun with."""
        path = self.staging / "identity.json"
        identity = {
            "source": self.source.identity(),
            "features": json.dumps(self.features.to_json(), sort_keys=True),
            "file_format": self.file_format,
            "shards": dataclasses.asdict(self.config.get_shard_config()),
            **self.settings,
        }
        identity = json.loads(json.dumps(identity))
        if not path.exists():
            write_json(path, identity)
            return identity["source"]
        before = read_json(path)
        changed = [key for key in identity if identity[key] != before.get(key)]
        if changed:
            raise PreparationRefused(
                f"{self.staging} holds an unfinished preparation with another "
                f"{' and '.join(changed)}: it had {[before.get(key) for key in changed]}, now it "
                f"is {[identity[key] for key in changed]}. Use the same as before to continue, or "
                "delete that folder to start again"
            )
        return identity["source"]

    def _tidy(self, stale: Sequence[epath.Path]) -> None:
        """Takes back what a killed run had moved, and removes files that it left half written."""
        for folder in stale:
            if (folder / preparation_report.REPORT_NAME).exists() and not self.final.exists():
                folder.rename(self.final)
            elif (folder / preparation_report.REPORT_NAME).exists() or not any(folder.iterdir()):
                folder.rmtree()
        self.final.mkdir(exist_ok=True)
        for folder in (self.staging, self._spills, self.final):
            remove_partial(folder)
        for name in last_file.take_notes(self._spills):
            _log.warning(
                "the previous preparation ended while reading %s; if that happens again, move the "
                "file away",
                name,
            )

    def _spill_all(self, workers: pool.TaskPool) -> tuple[list[str], list[Skip]]:
        """First half; returns the units' keys, sorted, and what the source has beside them."""
        scan_path = self.staging / "scan.json"
        done = spill.finished_units(self._spills)
        if scan_path.exists():
            scan = read_json(scan_path)
            if all(spill.spill_path(self._spills, key).name in done for key in scan["keys"]):
                return scan["keys"], [Skip(*fields) for fields in scan["skips"]]
        keys: list[str] = []
        skips: list[Skip] = []
        function = functools.partial(
            spill.write_spill,
            encoder=spill.ExampleEncoder(self.features),
            folder=os.fspath(self._spills),
        )
        with self._progress("checking images", self.source.num_bytes) as advance:
            self._run(workers, function, self._pending_units(done, keys, skips, advance), advance)
        self._check_nothing_lost(
            [key for key in keys if not spill.index_path(self._spills, key).exists()], "units"
        )
        keys.sort()
        scan = {"keys": keys, "skips": [dataclasses.astuple(skip) for skip in skips]}
        write_atomic(scan_path, json.dumps(scan))
        return keys, skips

    def _pending_units(
        self, done: set[str], keys: list[str], skips: list[Skip], advance: Callable[[Any], None]
    ) -> Iterator[Unit]:
        seen: set[str] = set()
        finished = _FinishedUnits(self._spills, done)
        for item in self.source.units(finished):
            if isinstance(item, Skip):
                skips.append(item)
            elif item.key in seen:
                skips.append(Skip(item.key, "repeated archive", "only the first is read", 0))
            else:
                seen.add(item.key)
                keys.append(item.key)
                if item.key in finished:
                    advance(item)
                else:
                    yield item

    def _write_shards(
        self, workers: pool.TaskPool, keys: Sequence[str], plan: Plan
    ) -> list[tfds.core.SplitInfo]:
        """Second half: writes the shards that are not there."""
        spills = [spill.data_path(self._spills, key) for key in keys]
        infos: list[tfds.core.SplitInfo] = []
        tasks: list[ShardTask] = []
        config = self.config.get_shard_config()
        for name, split in plan.splits.items():
            template = self.filename_template(name)
            lengths = shard_lengths(split, config)
            paths = template.replace(data_dir=self.final).sharded_filepaths(len(lengths))
            first = 0
            for path, length in zip(paths, lengths):
                rows = split.take(slice(first, first + length))
                is_relabelled = plan.remaining is not None
                tasks.append(shard_task(path, self.file_format, spills, rows, is_relabelled))
                first += length
            infos.append(
                tfds.core.SplitInfo(
                    name=name,
                    shard_lengths=lengths,
                    num_bytes=int(split.sizes.sum()),
                    filename_template=template,
                )
            )
        total = sum(task.num_source_bytes for task in tasks)
        with self._progress("writing shards", total) as advance:
            pending = [task for task in tasks if not self._is_written(task, advance)]
            self._run(workers, write_shard, pending, advance)
        self._check_nothing_lost(
            [task.path for task in tasks if not epath.Path(task.path).exists()], "shards"
        )
        for task in tasks:
            check_shard(epath.Path(task.path), task)
        remove_partial(self.final)  # of workers that outlived a killed run for a moment
        return infos

    def _is_written(self, task: ShardTask, advance: Callable[[Any], None]) -> bool:
        if epath.Path(task.path).exists():
            advance(task)
            return True
        return False

    def _run(
        self,
        workers: pool.TaskPool,
        function: Callable[[Any], None],
        tasks: Iterable[Any],
        on_done: Callable[[Any], None],
    ) -> None:
        if self.config.use_beam:
            pool.run_tasks_with_beam(function, tasks, self.config.beam_options)
        else:
            try:
                workers.run(function, tasks, on_done)
            except concurrent.futures.process.BrokenProcessPool as error:
                names = last_file.take_notes(self._spills)
                raise PreparationError(
                    f"a worker process died (out of memory, or a file that crashes the decoder); "
                    f"workers were reading {', '.join(names) or 'no file'}. The same command "
                    "continues from here; if that happens again, move such a file away"
                ) from error

    def _check_nothing_lost(self, missing: Sequence[str], what: str) -> None:
        if missing:
            raise PreparationError(
                f"{len(missing)} {what} were not written, such as {list(missing[:3])}: the runner "
                "lost them silently. Run the same command again to do only these"
            )

    def _check_skipped(self, indices: Sequence[spill.SpillIndex]) -> None:
        """Raises SourceError where too many images of a split cannot be used."""
        if self.max_skipped_share is None:
            return
        num_examples = sum(len(index.sizes) for index in indices)
        for split in dict.fromkeys(index.split for index in indices):
            ours = [index for index in indices if index.split == split]
            lost = preparation_report.lost_images(skip for index in ours for skip in index.skips)
            num_lost = sum(max(1, skip.num_files) for skip in lost)
            # What lies in no split is compared with all images.
            num_ours = sum(len(index.sizes) for index in ours) or (0 if split else num_examples)
            num_images = num_lost + num_ours
            if num_lost <= self.max_skipped_share * num_images:
                continue
            told = ", ".join(
                f"{skip.name} ({skip.reason}{': ' * bool(skip.detail)}{skip.detail})"
                for skip in lost[:_NUM_NAMES_TOLD]
            )
            raise SourceError(
                f"{num_lost} of {num_images} images {f'of {split} ' * bool(split)}cannot be "
                f"used: {told}{', …' * (len(lost) > _NUM_NAMES_TOLD)}. That is more than "
                f"max_skipped_share={self.max_skipped_share:g}: repair or remove them, or "
                f"allow more, e.g. --config.dataset.options.max_skipped_share="
                f"{math.ceil(100 * num_lost / num_images) / 100:g}"
            )

    def _fail_without_examples(
        self, indices: Sequence[spill.SpillIndex], source_skips: Sequence[Skip]
    ) -> None:
        skips = [*source_skips, *(skip for index in indices for skip in index.skips)]
        raise SourceError(
            f"{self.source.kind}: no usable image among {len(skips)} files; the first: "
            f"{[dataclasses.astuple(skip)[:3] for skip in skips[:3]]}"
        )

    def disk_needed(self) -> int:
        """Bytes still needed, about: for the spills and the shards, less what is there."""
        present = sum(
            path.stat().length for folder in (self._spills, self.final) for path in folder.iterdir()
        )
        return max(0, COPIES_OF_SOURCE * self.source.num_bytes - present)

    def _check_disk(self) -> None:
        free = disk_free(self.staging)
        if self.config.show_progress and free is not None:
            needed = disk_size(self.disk_needed())
            _log.info("disk: about %s needed, %s free", needed, disk_size(free))
        if self.config.check_disk_space and free is not None and self.disk_needed() > free:
            raise PreparationError(self._disk_message("the disk is too small: "))

    def _disk_message(self, begin: str) -> str:
        return (
            f"{begin}about {disk_size(self.disk_needed())} more are needed in "
            f"{self.staging.parent} (twice the source while preparing, once when done), "
            f"{disk_size(disk_free(self.staging) or 0)} are free. Make space and run the "
            "same command again: finished work is kept"
        )

    @contextlib.contextmanager
    def _progress(self, title: str, num_bytes: int) -> Iterator[Callable[[Any], None]]:
        with Bar(
            title,
            num_bytes,
            unit="bytes",
            line_every_s=_LINE_EVERY_S,
            is_shown=self.config.show_progress,
        ) as bar:
            yield lambda task: bar.advance(task.num_source_bytes)


def _contents(plan: Plan) -> dict[str, contents.SplitContents]:
    return {
        name: contents.SplitContents.of_arrays(split.keys, split.labels, split.digests)
        for name, split in plan.splits.items()
    }


class _FinishedUnits:
    """The keys of the units whose spill is whole."""

    def __init__(self, folder: epath.Path, stems: set[str]) -> None:
        self._folder, self._stems = folder, stems

    def __contains__(self, key: object) -> bool:
        return spill.spill_path(self._folder, str(key)).name in self._stems


def disk_free(folder: epath.Path) -> int | None:
    """Free bytes of the disk that holds a folder; None where it is no local folder."""
    try:
        return shutil.disk_usage(os.fspath(folder)).free
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextlib.contextmanager
def _locked(folder: epath.Path) -> Iterator[None]:
    """Holds a lock that the system lets go of when the process ends, however it ends."""
    if "://" in os.fspath(folder):
        yield  # object stores have no locks
        return
    with open(folder / "lock", "w", encoding="utf-8") as file:  # noqa: PTH123 (the lock is on the descriptor)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PreparationRefused(
                f"another process is preparing into {folder}; wait for it or stop it first"
            ) from error
        yield
