"""What a preparation did: counts that add up, and lists of every exception beside the data."""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import itertools
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from fine2coarse.archives.archives import REPEATED_MEMBER, Skip, SourceError
from fine2coarse.archives.file_tree import LINK_LOOP
from fine2coarse.files import read_json, write_atomic
from fine2coarse.preparation.comparison import Comparison
from fine2coarse.preparation.contents import duplicates_across
from fine2coarse.preparation.file_batches import BESIDE_SPLITS, HIDDEN, NOT_IN_LAYOUT
from fine2coarse.preparation.image_checks import NOT_AN_IMAGE
from fine2coarse.preparation.shards import Plan
from fine2coarse.preparation.spill import SpillIndex

REPORT_NAME = "preparation.json"
SKIPPED_NAME = "skipped.csv"
TRANSCODED_NAME = "transcoded.csv"
DUPLICATES_NAME = "duplicates.csv"

_NUM_NAMES_TOLD = 3
_MAX_CHARS = 4096  # of a name: more than any file system takes, though archives hold them
_IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
    + (".jp2", ".heic", ".heif", ".jxl", ".ppm", ".pgm")
)


@dataclasses.dataclass(frozen=True)
class Report:
    """Counts of a preparation; they do not depend on how often it was interrupted.

    Attributes:
      source: the source's layout.
      num_files: files found in the source.
      splits: examples of each split.
      num_classes: leaves of the dataset.
      classes_seen: leaves that have an example in some split.
      skipped: reason → files, most first; a skip of a whole archive counts as one at least.
      transcoded: former format → images.
      duplicate_groups: sets of files of the same picture within a split (all are kept).
      duplicate_files: files in these sets.
      duplicates_across: 'SPLIT in OTHER' → images of a split that another holds too.
      compared: with what is published of such a source.
    """

    source: str
    num_files: int
    splits: Mapping[str, int]
    num_classes: int
    classes_seen: int
    skipped: Mapping[str, int]
    transcoded: Mapping[str, int]
    duplicate_groups: int
    duplicate_files: int
    duplicates_across: Mapping[str, int] = dataclasses.field(default_factory=dict)
    compared: tuple[Comparison, ...] = ()


def make_report(
    kind: str,
    num_classes: int,
    indices: Sequence[SpillIndex],
    plan: Plan,
    source_skips: Sequence[Skip],
) -> tuple[Report, tuple[Skip, ...]]:
    """Adds up what the spills and the plan say.

    Returns:
      The report, and every skip, sorted.

    Raises:
      AssertionError: where files and examples do not add up: something was lost.
    """
    skips = [*source_skips, *plan.repeated, *plan.left_out]
    skips += [skip for index in indices for skip in index.skips]
    skips.sort(key=dataclasses.astuple)
    num_files = sum(index.num_files for index in indices)
    num_files += sum(skip.num_files for skip in source_skips)
    splits = {name: split.num_examples for name, split in plan.splits.items()}
    num_skipped = sum(skip.num_files for skip in skips)
    if sum(splits.values()) + num_skipped != num_files:
        raise AssertionError(
            f"{num_files} files in the source, but {sum(splits.values())} examples and "
            f"{num_skipped} skipped"
        )
    labels = [np.unique(split.labels) for split in plan.splits.values()]
    report = Report(
        source=kind,
        num_files=num_files,
        splits=splits,
        num_classes=num_classes,
        classes_seen=len(np.unique(np.concatenate(labels))) if labels else 0,
        skipped=_files_by_reason(skips),
        transcoded=_by_count(former for index in indices for _, former in index.transcoded),
        duplicate_groups=len(plan.duplicates),
        duplicate_files=sum(map(len, plan.duplicates)),
        duplicates_across=duplicates_across(
            {name: split.digests for name, split in plan.splits.items()}
        ),
    )
    return report, tuple(skips)


def lost_images(skips: Iterable[Skip]) -> list[Skip]:
    """Skips of what was meant to be an image, not of other files in the same folders."""
    return [
        skip
        for skip in skips
        if skip.reason not in (HIDDEN, BESIDE_SPLITS, REPEATED_MEMBER, LINK_LOOP)
        and (skip.reason not in (NOT_AN_IMAGE, NOT_IN_LAYOUT) or _is_named_as_image(skip.name))
    ]


def _is_named_as_image(name: str) -> bool:
    return pathlib.PurePosixPath(name).suffix.lower() in _IMAGE_SUFFIXES


def _files_by_reason(skips: Iterable[Skip]) -> dict[str, int]:
    counts: collections.Counter[str] = collections.Counter()
    for skip in skips:
        counts[skip.reason] += max(1, skip.num_files)
    return _sorted(counts)


def _by_count(items: Iterable[str]) -> dict[str, int]:
    return _sorted(collections.Counter(items))


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def write_preparation_report(
    folder: epath.Path,
    report: Report,
    skips: Sequence[Skip],
    indices: Sequence[SpillIndex],
    plan: Plan,
) -> None:
    """Writes the report and the lists behind its counts beside the data."""
    transcoded = sorted(pair for index in indices for pair in index.transcoded)
    groups = [(number, name) for number, names in enumerate(plan.duplicates) for name in names]
    rows = [(skip.name[:_MAX_CHARS], skip.reason, skip.detail[:_MAX_CHARS]) for skip in skips]
    _write_csv(folder / SKIPPED_NAME, ("file", "reason", "detail"), rows)
    _write_csv(folder / TRANSCODED_NAME, ("file", "former_format"), transcoded)
    _write_csv(folder / DUPLICATES_NAME, ("group", "file"), groups)
    text = json.dumps(dataclasses.asdict(report), indent=1)
    write_atomic(folder / REPORT_NAME, f"{text}\n")


def read_report(folder: epath.PathLike) -> Report:
    """Reads the report beside prepared data.

    Raises:
      FileNotFoundError: where there is none.
      SourceError: where it is damaged.
    """
    path = epath.Path(folder) / REPORT_NAME
    try:
        stored = read_json(path)
        compared = tuple(Comparison(**fields) for fields in stored.pop("compared", ()))
        return Report(**stored, compared=compared)
    except (ValueError, TypeError) as error:
        raise damaged(path, error.__cause__ or error) from error


def damaged(path: epath.Path, error: Exception) -> SourceError:
    """The error that a file beside prepared data cannot be read."""
    return SourceError(
        f"{path} is damaged ({' '.join(str(error).split())}); delete the folder {path.parent} and "
        "run the same command to prepare it again"
    )


@dataclasses.dataclass(frozen=True)
class StoredReport:
    """A report and the lists behind it, beside prepared data.

    Attributes:
      folder: where they lie.
      report: the counts.
    """

    folder: epath.Path
    report: Report

    @classmethod
    def find(cls, folder: epath.PathLike) -> StoredReport | None:
        """The report in a folder; None where there is none."""
        try:
            return cls(epath.Path(folder), read_report(folder))
        except FileNotFoundError:
            return None

    def sentence(self) -> str:
        """What became of the files, with the names of some that were skipped."""
        report = self.report
        splits = ", ".join(f"{count:,} to {name}" for name, count in report.splits.items())
        told = [f"{report.source}: {report.num_files:,} files, {splits}"]
        if report.skipped:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in report.skipped.items())
            names = ", ".join(row[0] for row in self.skips(_NUM_NAMES_TOLD))
            listed = self.folder / SKIPPED_NAME
            told.append(f"skipped: {reasons}, such as {names} (all are named in {listed})")
        if report.transcoded:
            formats = ", ".join(f"{name} {count:,}" for name, count in report.transcoded.items())
            told.append(f"converted to PNG or JPEG: {formats}")
        if report.duplicates_across:
            pairs = ", ".join(f"{n:,} of {pair}" for pair, n in report.duplicates_across.items())
            told.append(f"the same picture in two splits: {pairs}")
        return "; ".join(told)

    def facts(self, num_skips: int) -> dict[str, Any]:
        """The counts, and the first files that were skipped; JSON-able."""
        first = [list(row) for row in self.skips(num_skips)]
        return dataclasses.asdict(self.report) | {"first_skips": first}

    def skips(self, limit: int) -> list[tuple[str, ...]]:
        """The first files that were skipped: file, reason, detail."""
        path = self.folder / SKIPPED_NAME
        try:
            with path.open("r", encoding="utf-8") as file:
                return [tuple(row) for row in itertools.islice(csv.reader(file), 1, limit + 1)]
        except (csv.Error, ValueError) as error:
            raise damaged(path, error) from error


def _write_csv(path: epath.Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomic(path, text.getvalue())
