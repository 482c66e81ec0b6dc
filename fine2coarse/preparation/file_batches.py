"""What a preparation reads: a source, cut into units of work that a worker handles whole."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import io
import os
import pathlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Protocol

from fine2coarse.archives.archives import (
    BROKEN_LINK,
    CUT_OFF,
    MAX_FILE_BYTES,
    NOT_A_FILE,
    TOO_LARGE,
    Archive,
    Entry,
    Listing,
    Skip,
    printable,
)
from fine2coarse.archives.tars import FileSlice, TarDamage, TarWalker

UNKNOWN_SYNSET = "unknown synset"
NO_LEAF = "synset is no leaf"
NOT_IN_LAYOUT = "not part of the layout"
HIDDEN = "hidden or system file"
BESIDE_SPLITS = "beside the splits"

MAX_BATCH_BYTES = 64 << 20
MAX_BATCH_FILES = 2048


@dataclasses.dataclass(frozen=True)
class SourceImage:
    """One image file of a source.

    Attributes:
      name: where it stands in the source, for the log.
      image_id: unique among the split's images.
      label: leaf label.
      data: the file's bytes.
      features: further features of the example.
      num_files: 1, as of a `Skip` of one file.
    """

    name: str
    image_id: str
    label: int
    data: bytes
    features: Mapping[str, object] = dataclasses.field(default_factory=dict)
    num_files: int = 1


class Unit(Protocol):
    """A part of a source that one worker reads in one go; it travels to it by pickle.

    Attributes:
      key: unique in the source, the same whenever the source is read.
      split: of its images; empty where each image decides it.
      num_source_bytes: about how much of the source it takes, for the progress bar.
    """

    key: str
    split: str
    num_source_bytes: int

    def read(self) -> Iterator[SourceImage | Skip]:
        """Yields every file in the unit, as an image or with the reason why it is none."""
        ...


class Source(Protocol):
    """Where images come from.

    Attributes:
      kind: its layout, for people to read.
      num_bytes: of the archives or folders.
      can_be_shared: whether units can be read on their own (so that a cluster can share them).
    """

    kind: str
    num_bytes: int
    can_be_shared: bool

    def identity(self) -> Mapping[str, object]:
        """JSON-able; a preparation goes on only where it is the same as when it began."""
        ...

    def units(self, finished: Container[str]) -> Iterator[Unit | Skip]:
        """Yields the units in the source's order, and skips of what is in no unit.

        Args:
          finished: keys of units that are done: they are yielded too, but need not be readable.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class BatchFile:
    """A file of a batch: where its bytes are, and what becomes of it.

    Attributes:
      name: where it stands in the source, for the log.
      entry: its place in the batch's archive, or its path below the batch's folder.
      image_id: unique among the split's images.
      label: leaf label.
      problem: reason why it is not an example, else empty.
      detail: of the problem.
      features: further features of the example.
      data: its bytes; None where they are to be read.
    """

    name: str
    entry: Entry
    image_id: str = ""
    label: int = -1
    problem: str = ""
    detail: str = ""
    features: Mapping[str, object] = dataclasses.field(default_factory=dict)
    data: bytes | None = None

    def example(self, read: Callable[[], bytes]) -> SourceImage | Skip:
        """The file as an image, or why it is none.

        Args:
          read: gives its bytes; called where they are needed.
        """
        if self.problem:
            return Skip(self.name, self.problem, self.detail)
        data = read() if self.data is None else self.data
        return SourceImage(self.name, self.image_id, self.label, data, self.features)


@dataclasses.dataclass(frozen=True)
class FileBatch:
    """Consecutive files of a folder or an archive.

    Attributes:
      key: unique in the source.
      split: of the images; empty where each image decides it.
      source: the archive, or the path of the folder.
      files: them.
    """

    key: str
    split: str
    source: Archive | str
    files: tuple[BatchFile, ...]

    @property
    def num_source_bytes(self) -> int:
        """Size of the files."""
        return sum(file.entry.size for file in self.files)

    def read(self) -> Iterator[SourceImage | Skip]:
        """Yields the files in their order."""
        contents = self._contents()
        for file in self.files:
            yield file.example(lambda: next(contents))

    def _contents(self) -> Iterator[bytes]:
        """The bytes of the files that are to be read, in their order."""
        entries = [file.entry for file in self.files if not file.problem and file.data is None]
        if isinstance(self.source, Archive):
            for _, data in self.source.read(entries):
                yield data
        else:
            for entry in entries:
                yield (pathlib.Path(self.source) / entry.name).read_bytes()


class BatchFiller:
    """Cuts files into batches whose limits depend on the source alone."""

    def __init__(self, prefix: str, split: str, source: Archive | str) -> None:
        self._prefix, self._split, self._source = prefix, split, source
        self._number = 0
        self._files: list[BatchFile] = []
        self._num_bytes = 0

    @property
    def key(self) -> str:
        """Of the batch that is being filled."""
        return f"{self._prefix}/{self._number:06d}"

    def add(self, file: BatchFile) -> Iterator[FileBatch]:
        """Adds a file; yields the batch that it completes, if it does."""
        self._files.append(file)
        self._num_bytes += file.entry.size
        if self._num_bytes >= MAX_BATCH_BYTES or len(self._files) >= MAX_BATCH_FILES:
            yield from self.finish()

    def finish(self) -> Iterator[FileBatch]:
        """Yields the batch that is not full, if there is one; another one is begun."""
        if self._files:
            batch = FileBatch(self.key, self._split, self._source, tuple(self._files))
            self._number, self._files, self._num_bytes = self._number + 1, [], 0
            yield batch


@dataclasses.dataclass(frozen=True)
class SynsetFiles:
    """What becomes of the images of one synset; shared by the units below.

    Attributes:
      synset: its id.
      label: its leaf label; -1 where it is not a leaf, and all its images are skipped.
      is_known: whether the taxonomy's table has it, leaf or not.
    """

    synset: str
    label: int
    is_known: bool

    def batch_file(self, where: str, entry: Entry, data: bytes | None = None) -> BatchFile:
        """One file of the synset.

        Args:
          where: it stands in the source, for the log.
          entry: its place.
          data: its bytes, where they are not to be read later.
        """
        if self.label >= 0:
            return BatchFile(where, entry, image_id(self.synset, entry.name), self.label, data=data)
        if self.is_known:
            detail = f"{self.synset} is a synset, but none of the leaves"
            return BatchFile(where, entry, problem=NO_LEAF, detail=detail)
        detail = f"{self.synset} is in no path of the taxonomy"
        return BatchFile(where, entry, problem=UNKNOWN_SYNSET, detail=detail)


def image_id(synset: str, name: str) -> str:
    """The file name where it names the synset, as ImageNet's do; else with the synset before."""
    base = printable(name.rsplit("/", 1)[-1])
    return base if base.startswith(f"{synset}_") else f"{synset}/{base}"


@dataclasses.dataclass(frozen=True)
class NestedTar:
    """A synset's tar: a file, a member of an archive, or bytes already read from a stream.

    Attributes:
      key: its name in the archive or folder.
      files: the synset.
      num_source_bytes: its size.
      source: the file, or the archive; None where it is hollow or has its bytes.
      entry: its place in the archive.
      data: its bytes, where they come from a stream.
      split: always empty.
    """

    key: str
    files: SynsetFiles
    num_source_bytes: int
    source: Archive | str | None = None
    entry: Entry | None = None
    data: bytes | None = None
    split: str = ""

    def read(self) -> Iterator[SourceImage | Skip]:
        """Yields its images. Of a damaged tar, those before the damage, and how many are lost."""
        with self._open() as tar:
            listing = Listing()
            damage = None
            try:
                for header in TarWalker(tar):
                    listing.add(header)
            except TarDamage as error:
                damage = error
            entries, skips = listing.finish()
            for skip in skips:
                yield dataclasses.replace(skip, name=f"{self.key}/{skip.name}")
            for entry in entries:
                file = self.files.batch_file(f"{self.key}/{printable(entry.name)}", entry)
                yield file.example(functools.partial(tar.read_at, entry.position, entry.size))
        if damage is not None:
            yield Skip(self.key, CUT_OFF, str(damage), num_files=damage.num_lost or 0)

    @contextlib.contextmanager
    def _open(self) -> Iterator[FileSlice]:
        """The tar's bytes, where it can be without reading them all."""
        if isinstance(self.source, Archive) and self.source.kind != "tar":
            ((_, data),) = self.source.read([self.entry])
            yield FileSlice(io.BytesIO(data), 0, len(data))
        elif self.data is not None:
            yield FileSlice(io.BytesIO(self.data), 0, len(self.data))
        else:
            is_member = isinstance(self.source, Archive)
            path = self.source.path if is_member else pathlib.Path(self.source)
            with path.open("rb", buffering=1 << 20) as file:
                yield FileSlice(
                    file, self.entry.position if is_member else 0, self.num_source_bytes
                )


@dataclasses.dataclass(frozen=True)
class ListedFolder:
    """The files directly in a folder.

    Attributes:
      path: of the folder.
      files: names and sizes, sorted; links to files are files.
      skips: what is not one.
      state: digest of the names, sizes and modification times.
    """

    path: str
    files: tuple[Entry, ...]
    skips: tuple[Skip, ...]
    state: str

    @property
    def num_bytes(self) -> int:
        """Size of the files."""
        return sum(entry.size for entry in self.files)


def list_folder(
    path: pathlib.Path, where: str, max_file_bytes: int = MAX_FILE_BYTES
) -> ListedFolder:
    """Lists the files directly in a folder.

    Args:
      path: of the folder.
      where: it stands in the source, for the skips.
      max_file_bytes: larger files are skipped.
    """
    files: list[Entry] = []
    skips: list[Skip] = []
    stamps: list[tuple[str, int, int]] = []
    for item in sorted(os.scandir(path), key=lambda item: item.name):
        name = f"{where}/{printable(item.name)}" if where else printable(item.name)
        if _leads_nowhere(item):
            skips.append(Skip(name, BROKEN_LINK, "leads to nothing or to itself"))
        elif item.is_dir():
            if num_files := num_files_below(path / item.name):
                skips.append(Skip(name, NOT_IN_LAYOUT, f"folder of {num_files} files", num_files))
        elif item.is_file():
            status = item.stat()
            stamps.append((item.name, status.st_size, status.st_mtime_ns))
            if status.st_size > max_file_bytes:
                skips.append(Skip(name, TOO_LARGE, f"{status.st_size} bytes"))
            else:
                files.append(Entry(item.name, status.st_size, -1))
        else:
            skips.append(Skip(name, NOT_A_FILE, "a device, pipe or socket"))
    return ListedFolder(str(path), tuple(files), tuple(skips), digest(stamps))


def _leads_nowhere(item: os.DirEntry) -> bool:
    try:
        item.stat()
    except OSError:
        return True
    return False


def num_files_below(folder: pathlib.Path) -> int:
    """How many files are in a folder and the folders in it."""
    return sum(len(names) for _, _, names in os.walk(folder))


def digest(stamps: Iterable[tuple[str, int, int]]) -> str:
    """One text for the names, sizes in bytes and modification times in ns of files."""
    total = hashlib.sha256()
    for name, num_bytes, modified_ns in stamps:
        total.update(f"{printable(name)}\0{num_bytes}\0{modified_ns}\n".encode())
    return total.hexdigest()
