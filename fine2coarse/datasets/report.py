"""What a preparation did: counts that add up, and lists of every exception beside the data."""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from etils import epath

from fine2coarse.datasets.archives import Skip
from fine2coarse.datasets.shards import Plan
from fine2coarse.datasets.spill import SpillIndex, write_whole

REPORT_NAME = "preparation.json"
SKIPPED_NAME = "skipped.csv"
TRANSCODED_NAME = "transcoded.csv"
DUPLICATES_NAME = "duplicates.csv"


@dataclasses.dataclass(frozen=True)
class Report:
    """Counts of a preparation; they do not depend on how often it was interrupted.

    Attributes:
      source: the source's layout.
      num_files: files found in the source.
      splits: examples of each split.
      num_classes: leaves of the dataset.
      classes_seen: leaves that have an example in some split.
      skipped: reason → files, most first; the reasons of whole archives count the archives.
      transcoded: former format → images.
      duplicate_groups: sets of files with the same bytes (all are kept).
      duplicate_files: files in these sets.
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
    skips = [*source_skips, *plan.repeated, *(skip for index in indices for skip in index.skips)]
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
        skipped=_by_count(skip.reason for skip in skips),
        transcoded=_by_count(former for index in indices for _, former in index.transcoded),
        duplicate_groups=len(plan.duplicates),
        duplicate_files=sum(map(len, plan.duplicates)),
    )
    return report, tuple(skips)


def _by_count(items: Iterable[str]) -> dict[str, int]:
    counts = collections.Counter(items)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def write_report(
    folder: epath.Path,
    report: Report,
    skips: Sequence[Skip],
    indices: Sequence[SpillIndex],
    plan: Plan,
) -> None:
    """Writes the report and the lists behind its counts beside the data."""
    transcoded = sorted(pair for index in indices for pair in index.transcoded)
    groups = [(number, name) for number, names in enumerate(plan.duplicates) for name in names]
    rows = [(skip.name, skip.reason, skip.detail) for skip in skips]
    _write_csv(folder / SKIPPED_NAME, ("file", "reason", "detail"), rows)
    _write_csv(folder / TRANSCODED_NAME, ("file", "former_format"), transcoded)
    _write_csv(folder / DUPLICATES_NAME, ("group", "file"), groups)
    text = json.dumps(dataclasses.asdict(report), indent=1)
    write_whole(folder / REPORT_NAME, f"{text}\n".encode())


def read_report(folder: epath.PathLike) -> Report:
    """Reads the report beside prepared data.

    Raises:
      FileNotFoundError: where there is none.
    """
    return Report(**json.loads((epath.Path(folder) / REPORT_NAME).read_text()))


def _write_csv(path: epath.Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode("utf-8", "backslashreplace"))
