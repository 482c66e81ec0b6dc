"""The images of shards whose labels are known, in parts that workers read on their own."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Container, Iterator, Mapping

import numpy as np

from fine2coarse.archives.archives import Skip
from fine2coarse.datasets.shard_files import ShardFile, ShardsError
from fine2coarse.datasets.shard_labels import LabelRow
from fine2coarse.datasets.shard_scan import (
    NO_CLASS,
    ShardReader,
    ShardScan,
    repeated_keys,
    scan_path,
)
from fine2coarse.preparation.file_batches import (
    MAX_BATCH_BYTES,
    MAX_BATCH_FILES,
    SourceImage,
    digest,
)


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
