"""Prepares a dataset so that it can be killed at any moment and goes on where it stopped.

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
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds
import tqdm
from etils import epath
from tensorflow_datasets.core import naming, splits, units

from fine2coarse.archives import last_file
from fine2coarse.archives.archives import Skip, SourceError
from fine2coarse.preparation import contents, pool, preparation_report, spill
from fine2coarse.preparation.file_batches import Source, Unit
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

SOURCE_NAME = "source.json"
"""What the source was, beside the data that was prepared from it."""
_COPIES_OF_SOURCE = 2  # the spills and the shards
_NUM_NAMES_TOLD = 5


class PreparationError(RuntimeError):
    """A preparation that cannot go on: the message says what to do about it."""


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
            raise ValueError(f"num_workers must be at least 1, got {self.num_workers}")
        if self.num_validation is not None and self.num_validation < 0:
            raise ValueError(f"num_validation must not be negative, got {self.num_validation}")
        if self.max_examples_per_split is not None:
            raise ValueError("max_examples_per_split is not supported; prepare a smaller source")


@dataclasses.dataclass(frozen=True)
class Preparation:
    """One preparation.

    Attributes:
      source: where the images come from.
      features: of the stored examples.
      filename_template: TFDS's template of the shards' names, for a split.
      file_format: 'tfrecord' or 'array_record'.
      num_classes: leaves.
      split_rule: for sources that name no split.
      settings: what else shapes the result; JSON-able.
      config: how to go about it.
      staging: folder for everything until it is done.
      max_skipped_share: where more than this share of a split's images is skipped, preparing
        stops; None for any share.
      check_plan: raises SourceError where the examples are not what the dataset needs.
      write_state: writes into a folder what the source's files were, to notice changes by.
    """

    source: Source
    features: tfds.features.FeaturesDict
    filename_template: Callable[[str], naming.ShardedFileTemplate]
    file_format: str
    num_classes: int
    split_rule: SplitRule | None
    settings: Mapping[str, Any]
    config: PrepareConfig
    staging: epath.Path
    max_skipped_share: float | None = None
    check_plan: Callable[[Plan], None] = lambda plan: None
    write_state: Callable[[epath.Path, Sequence[spill.SpillIndex]], None] = lambda *_: None

    @property
    def _spills(self) -> epath.Path:
        return self.staging / "spills"

    @property
    def final(self) -> epath.Path:
        """Folder of the shards and the report, inside the staging folder."""
        return self.staging / "final"

    def run(self, stale: Sequence[epath.Path] = ()) -> list[splits.SplitInfo]:
        """Prepares what is not prepared yet; the result is in `final`.

        Args:
          stale: folders that an earlier run may have moved `final` to, just before it died.

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
                plan = make_plan(indices, self.split_rule)
                self.check_plan(plan)
                made, skips = preparation_report.make_report(
                    self.source.kind, self.num_classes, indices, plan, source_skips
                )
                infos = self._write_shards(workers, keys, plan)
                self._check_unchanged(identity)
                contents.write_contents(self.final, _contents(plan))
                text = json.dumps(identity, indent=1)
                spill.write_whole(self.final / SOURCE_NAME, f"{text}\n".encode())
                self.write_state(self.final, indices)
                preparation_report.write_report(self.final, made, skips, indices, plan)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                raise PreparationError(self._disk_message("the disk is full: ")) from error
        return infos

    def _check_settings(self) -> None:
        if self.config.use_beam and not self.source.can_be_shared:
            raise PreparationError(
                f"{self.source.kind}: workers of a cluster cannot share a compressed archive; "
                "decompress it first (images hardly shrink), or prepare without Beam"
            )

    def _check_unchanged(self, before: Mapping[str, Any]) -> None:
        if json.loads(json.dumps(self.source.identity())) != before:
            raise PreparationError(
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
            spill.write_whole(path, json.dumps(identity, indent=1).encode())
            return identity["source"]
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [key for key in identity if identity[key] != before.get(key)]
        if changed:
            raise PreparationError(
                f"{self.staging} holds an unfinished preparation with another "
                f"{' and '.join(changed)}: it had {[before.get(key) for key in changed]}, now it "
                f"is {[identity[key] for key in changed]}. Give the same as before to go on, or "
                "delete that folder to begin anew"
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
            _remove_partial_files(folder)
        for name in last_file.take_notes(self._spills):
            print(
                f"the preparation before this one ended while it was at {name}; should it end "
                "there again, move that file away",
                file=sys.stderr,
            )

    def _spill_all(self, workers: pool.TaskPool) -> tuple[list[str], list[Skip]]:
        """First half; returns the units' keys, sorted, and what the source has beside them."""
        scan_path = self.staging / "scan.json"
        done = spill.finished_units(self._spills)
        if scan_path.exists():
            scan = json.loads(scan_path.read_text(encoding="utf-8"))
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
        spill.write_whole(scan_path, json.dumps(scan).encode())
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
    ) -> list[splits.SplitInfo]:
        """Second half: writes the shards that are not there."""
        spills = [spill.data_path(self._spills, key) for key in keys]
        infos: list[splits.SplitInfo] = []
        tasks: list[ShardTask] = []
        config = self.config.get_shard_config()
        for name, split in plan.splits.items():
            template = self.filename_template(name)
            lengths = shard_lengths(split, config)
            paths = template.replace(data_dir=self.final).sharded_filepaths(len(lengths))
            first = 0
            for path, length in zip(paths, lengths):
                rows = split.take(slice(first, first + length))
                tasks.append(shard_task(path, self.file_format, spills, rows))
                first += length
            infos.append(
                splits.SplitInfo(
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
        _remove_partial_files(self.final)  # of workers that outlived a killed run for a moment
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
                    f"a worker process died (out of memory, or a file that brings the decoder "
                    f"down); workers were at {', '.join(names) or 'no file'}. The same command "
                    "goes on from here; should it end there again, move such a file away"
                ) from error

    def _check_nothing_lost(self, missing: Sequence[str], what: str) -> None:
        if missing:
            raise PreparationError(
                f"{len(missing)} {what} were not written, such as {list(missing[:3])}: the runner "
                "lost them without a word. The same command does these and no others"
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
            num_ours = sum(len(index.sizes) for index in ours) or num_examples
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
                f"max_skipped_share={self.max_skipped_share:g}: mend or remove them, or allow "
                f"more, e.g. --config.dataset.options.max_skipped_share="
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
        return max(0, _COPIES_OF_SOURCE * self.source.num_bytes - present)

    def _check_disk(self) -> None:
        free = disk_free(self.staging)
        if self.config.show_progress and free is not None:
            needed = units.Size(self.disk_needed())
            print(f"disk: about {needed} needed, {units.Size(free)} free", file=sys.stderr)
        if self.config.check_disk_space and free is not None and self.disk_needed() > free:
            raise PreparationError(self._disk_message("the disk is too small: "))

    def _disk_message(self, begin: str) -> str:
        return (
            f"{begin}about {units.Size(self.disk_needed())} more are needed in "
            f"{self.staging.parent} (twice the source while preparing, once when done), "
            f"{units.Size(disk_free(self.staging) or 0)} are free. Make space and run the "
            "same command again: what is done stays done"
        )

    @contextlib.contextmanager
    def _progress(self, title: str, num_bytes: int) -> Iterator[Callable[[Any], None]]:
        with tqdm.tqdm(
            desc=title,
            total=num_bytes,
            unit="B",
            unit_scale=True,
            disable=not self.config.show_progress,
            mininterval=0.2 if sys.stderr.isatty() else 15.0,
        ) as bar:
            yield lambda task: bar.update(task.num_source_bytes)


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


def _remove_partial_files(folder: epath.Path) -> None:
    for path in folder.glob("*.tmp*"):
        path.unlink(missing_ok=True)


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
            raise PreparationError(
                f"another process is preparing into {folder}; wait for it or stop it first"
            ) from error
        yield
