"""A look at shards before they are prepared: classes, levels, and images of each class.

Labels are read, images are not: whether each is one is found out when the data is prepared.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import tempfile
from collections.abc import Mapping

from fine2coarse.archives.archives import Skip
from fine2coarse.datasets.folder_layout import TRAIN, UNSPLIT
from fine2coarse.datasets.shard_scan import NO_CLASS, ShardScan
from fine2coarse.datasets.shard_source import ShardedSource
from fine2coarse.datasets.sharded import ShardedConfig, scan_source
from fine2coarse.formats import counted
from fine2coarse.preparation.preparation_report import lost_images
from fine2coarse.taxonomy.taxonomy import Taxonomy


@dataclasses.dataclass(frozen=True, eq=False)
class ShardSurvey:
    """What shards hold.

    Attributes:
      source: them, for people to read.
      taxonomy: over their labels.
      num_images: split (empty where a rule divides the images) → leaf label → images.
      num_left_out: reason → keys or rows that cannot be used.
      such_as: reason → one of them, and what else there is to say.
    """

    source: str
    taxonomy: Taxonomy
    num_images: Mapping[str, Mapping[int, int]]
    num_left_out: Mapping[str, int]
    such_as: Mapping[str, str]

    @property
    def num_train_images(self) -> Mapping[int, int]:
        """Leaf label → images to train on, or of all where a rule divides them."""
        return self.num_images.get(TRAIN) or self.num_images.get(UNSPLIT, {})

    @property
    def head(self) -> str:
        """What is there, in a line."""
        totals = {split: sum(counts.values()) for split, counts in self.num_images.items()}
        told = ", ".join(f"{split or 'all'} {total:,}" for split, total in totals.items())
        split = f" of {TRAIN}" if TRAIN in self.num_images else ""
        leaves = f"{self.taxonomy.num_leaves} leaves; class sizes in images{split}"
        return f"{self.source}: {told}; {leaves}"

    @property
    def notes(self) -> list[str]:
        """A line for what cannot be used, where there is any."""
        return [
            f"left out, {reason}: {counted(number, 'image')}, such as {self.such_as[reason]}"
            for reason, number in self.num_left_out.items()
        ]


def survey_shards(own: ShardedConfig, num_workers: int = 1) -> ShardSurvey:
    """Reads the labels of shards.

    Raises:
      ShardsError, TaxonomyError: see `sharded.scan_source`.
    """
    with tempfile.TemporaryDirectory() as folder:
        scanned = scan_source(own, pathlib.Path(folder), num_workers=num_workers)
        return _survey(scanned.source, scanned.taxonomy)


def _survey(source: ShardedSource, taxonomy: Taxonomy) -> ShardSurvey:
    num_images: dict[str, collections.Counter[int]] = {}
    left_out: collections.Counter[str] = collections.Counter()
    such_as: dict[str, str] = {}

    def leave_out(skip: Skip, number: int = 1) -> None:
        left_out[skip.reason] += number
        told = f"{skip.name} ({skip.detail})" if skip.detail else skip.name
        such_as.setdefault(skip.reason, told)

    for shard in source.shards:
        scan = ShardScan.load(source.scan_path(shard))
        counts = num_images.setdefault(shard.split, collections.Counter())
        numbers = collections.Counter(scan.rows.tolist())
        for row, number in numbers.items():
            labels = scan.label_rows[row]
            if labels in source.leaf_of:
                counts[source.leaf_of[labels]] += number
            else:
                told = ", ".join(map(repr, labels))
                leave_out(Skip(shard.name, NO_CLASS, told), number)
        for skip in lost_images(scan.skips):
            leave_out(skip)
    return ShardSurvey(source.kind, taxonomy, num_images, dict(left_out), such_as)
