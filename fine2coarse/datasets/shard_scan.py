"""What a look through a shard's labels finds: where each image is, and what it is labelled with.

No image is read for it. Shards are looked through once, by all workers; what was found in each is
kept as a file beside the unfinished data, where the units of the preparation read it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import logging
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from fine2coarse.archives.archives import Skip
from fine2coarse.datasets.shard_files import ShardFile, ShardsError
from fine2coarse.datasets.shard_labels import LabelColumn, LabelRow
from fine2coarse.files import write_atomic
from fine2coarse.preparation import pool
from fine2coarse.terminal import Bar

_log = logging.getLogger(__name__)

NO_LABEL = "image without label"
NO_IMAGE = "label without image"
SEVERAL_IMAGES = "several images of one key"
NO_CLASS = "label that is no class"
UNUSABLE = frozenset((NO_LABEL, NO_IMAGE, SEVERAL_IMAGES))
"""Reasons of keys or rows that a scan itself leaves out."""
_NUM_NAMES_TOLD = 3
_LINE_EVERY_S = 15.0


@dataclasses.dataclass(frozen=True, eq=False)
class ShardScan:
    """What is in a shard: N labelled images, in their order.

    Attributes:
      keys: bytes [N], unique in the shard as a rule; empty where images have none: their number in
        the shard stands for it.
      positions: int64 [N], where each is: what the shard's reader understands.
      sizes: int64 [N], bytes of each, or about that.
      rows: int32 [N], the position of its labels in `label_rows`.
      cuts: int64 [C], ascending: images before which the shard can be cut into parts.
      label_rows: distinct rows of labels.
      columns: of the labels.
      skips: what gives no labelled image.
      digest: of names, sizes, labels and pieces of the images: another one, another content.
      problem: why the shard cannot be read at all; empty where it can.
    """

    keys: np.ndarray
    positions: np.ndarray
    sizes: np.ndarray
    rows: np.ndarray
    cuts: np.ndarray
    label_rows: Sequence[LabelRow]
    columns: Sequence[LabelColumn]
    skips: Sequence[Skip]
    digest: str
    problem: str = ""

    @classmethod
    def failed(cls, problem: str) -> ShardScan:
        """Of a shard that cannot be read."""
        none = np.zeros(0, np.int64)
        return cls(none.astype("S1"), none, none, none, none, (), (), (), "", problem)

    @property
    def key_hashes(self) -> np.ndarray:
        """uint64 [N]: 64 bits of the hash of each key."""
        digests = [hashlib.sha256(key).digest()[:8] for key in self.keys.tolist()]
        return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)

    def save(self, path: pathlib.Path) -> None:
        """Writes it, with the hashes of the keys."""
        text = {
            "label_rows": self.label_rows,
            "columns": [dataclasses.astuple(column) for column in self.columns],
            "skips": [dataclasses.astuple(skip) for skip in self.skips],
            "digest": self.digest,
            "problem": self.problem,
        }
        buffer = io.BytesIO()
        np.savez(
            buffer,
            text=np.frombuffer(json.dumps(text).encode(), np.uint8),
            key_hashes=self.key_hashes,
            **{name: getattr(self, name) for name in _ARRAYS},
        )
        write_atomic(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike) -> ShardScan:
        """Reads it."""
        with np.load(path, allow_pickle=False) as stored:
            text = json.loads(stored["text"].tobytes())
            arrays = {name: stored[name] for name in _ARRAYS}
        return cls(
            **arrays,
            label_rows=tuple(map(tuple, text["label_rows"])),
            columns=tuple(
                LabelColumn(name, None if classes is None else tuple(classes))
                for name, classes in text["columns"]
            ),
            skips=tuple(Skip(*fields) for fields in text["skips"]),
            digest=text["digest"],
            problem=text["problem"],
        )


_ARRAYS = ("keys", "positions", "sizes", "rows", "cuts")


class ShardReader(Protocol):
    """Reads shards of one format; it travels to workers by pickle.

    Readers with the same `repr` find the same in a shard.

    Attributes:
      what: the shards are called, for people to read.
      suffixes: of their names.
    """

    what: str
    suffixes: Sequence[str]

    def settled(self, shard: ShardFile) -> ShardReader:
        """The reader with what was not given filled in from a shard.

        Raises:
          ShardsError: where the shard has not what was named, or not what is needed.
        """
        ...

    def scan(self, shard: ShardFile) -> ShardScan:
        """Looks a shard through. Of one that is not whole, a scan that says so."""
        ...

    def images(
        self, shard: ShardFile, scan: ShardScan, begin: int, end: int
    ) -> Iterator[tuple[int, bytes | Skip]]:
        """Image number and bytes of the images from `begin` to before `end`, in any order."""
        ...


@dataclasses.dataclass(frozen=True)
class _ScanTask:
    reader: ShardReader
    shard: ShardFile
    path: str

    @property
    def num_source_bytes(self) -> int:
        return self.shard.size


def _scan(task: _ScanTask) -> None:
    task.reader.scan(task.shard).save(pathlib.Path(task.path))


def scan_path(folder: pathlib.Path, reader: ShardReader, shard: ShardFile) -> pathlib.Path:
    """Where the scan of a shard is kept: another state of it, or another reader, another file."""
    text = f"{reader!r}\0{shard.name}\0{shard.size}\0{shard.modified_ns}"
    return (
        folder / f"{hashlib.sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()[:24]}.npz"
    )


def scan_all(
    reader: ShardReader,
    shards: Sequence[ShardFile],
    folder: pathlib.Path,
    *,
    num_workers: int = 1,
    show_progress: bool = False,
) -> None:
    """Looks through the shards that are not looked through yet; killed, it goes on where it was.

    Args:
      reader: settled.
      shards: all of them.
      folder: for the scans.
      num_workers: processes.
      show_progress: whether to draw a bar.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [_ScanTask(reader, shard, str(scan_path(folder, reader, shard))) for shard in shards]
    pending = [task for task in tasks if not pathlib.Path(task.path).exists()]
    with (
        Bar(
            "reading labels",
            sum(task.num_source_bytes for task in pending),
            unit="bytes",
            line_every_s=_LINE_EVERY_S,
            is_shown=show_progress,
        ) as bar,
        pool.TaskPool(num_workers) as workers,
    ):
        workers.run(_scan, pending, lambda task: bar.advance(task.num_source_bytes))


def check_scans(reader: ShardReader, shards: Sequence[ShardFile], folder: pathlib.Path) -> None:
    """Raises ShardsError, counting and naming them, where shards cannot be read."""
    problems = []
    for shard in shards:
        path = scan_path(folder, reader, shard)
        problem = problem_of(path)
        if problem:
            path.unlink()  # it may be mended within the same second
            problems.append(f"{shard.path}: {problem}")
    if problems:
        raise ShardsError(
            f"{len(problems)} of {len(shards)} {reader.what} cannot be read: "
            f"{'; '.join(problems[:_NUM_NAMES_TOLD])}{'; …' * (len(problems) > _NUM_NAMES_TOLD)}. "
            "Get them again, or give a pattern that leaves them out"
        )


def problem_of(path: str | os.PathLike) -> str:
    """Why the shard of a scan cannot be read; of the scan, no arrays are read."""
    with np.load(path, allow_pickle=False) as stored:
        return json.loads(stored["text"].tobytes())["problem"]


def repeated_keys(
    scans: Mapping[str, Sequence[pathlib.Path]],
) -> Callable[[str, pathlib.Path], np.ndarray]:
    """Tells which images of a shard have a key that another shard of their split has too.

    Args:
      scans: split → paths of its shards' scans.

    Returns:
      A function of split and path that gives int64 positions of images.
    """
    repeated: dict[str, np.ndarray] = {}
    for split, paths in scans.items():
        hashes = np.concatenate([_key_hashes(path) for path in paths])
        values, counts = np.unique(hashes, return_counts=True)
        repeated[split] = values[counts > 1]
    return lambda split, path: np.flatnonzero(np.isin(_key_hashes(path), repeated[split]))


def _key_hashes(path: pathlib.Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as stored:
        return stored["key_hashes"]
