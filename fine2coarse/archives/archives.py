"""The one reader of archives: tar (plain, gzip, bzip2, xz) and zip, without unpacking to disk.

It is strict. An archive that is cut off, damaged or goes on after its end is a `SourceError` that
says how many files would be lost; a member that cannot be a file is a `Skip` with its reason.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NoReturn

from fine2coarse.archives import magic, tars, zips
from fine2coarse.archives.entries import (
    BROKEN_LINK,
    MAX_FILE_BYTES,
    NOT_A_FILE,
    REPEATED_MEMBER,
    TOO_LARGE,
    UNSAFE_PATH,
    Entry,
    Header,
    Listing,
    Skip,
    SourceError,
    clean_name,
    is_unsafe,
    listing,
    printable,
    unreadable,
)
from fine2coarse.archives.tars import SPARSE_FILE
from fine2coarse.archives.zips import ENCRYPTED, UNSUPPORTED_COMPRESSION

CUT_OFF = "archive cut off or damaged"
SUFFIXES = (
    *(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".zip"),
    *(".7z", ".rar", ".tar.zst"),
)
"""Endings of the names of archives, those that cannot be read included."""


class ArchiveDamage(SourceError):
    """An archive that is cut off, damaged or goes on after its end.

    Attributes:
      num_lost: files that can be made out behind the damage; None where none can be read.
    """

    def __init__(self, message: str, num_lost: int | None = None) -> None:
        super().__init__(message)
        self.num_lost = num_lost


@dataclasses.dataclass(frozen=True)
class Archive:
    """An archive; holds no open file and travels by pickle.

    Attributes:
      path: where it lies.
      kind: 'tar', 'tar.gz', 'tar.bz2', 'tar.xz' or 'zip'.
    """

    path: pathlib.Path
    kind: str

    @property
    def has_random_access(self) -> bool:
        """Whether a file can be read without reading all before it."""
        return self.kind in ("tar", "zip")

    def identity(self) -> Mapping[str, object]:
        """Name, size and modification time; JSON-able. Another identity, another content."""
        status = self.path.stat()
        return {
            "name": self.path.name,
            "num_bytes": status.st_size,
            "modified_ns": status.st_mtime_ns,
        }

    def scan(self, max_file_bytes: int = MAX_FILE_BYTES) -> tuple[list[Entry], list[Skip]]:
        """Lists all regular files by reading headers alone.

        A compressed tar is decompressed once, to its end. Links to files in the archive are files
        under their own names. Of members with the same name the last counts.

        Args:
          max_file_bytes: larger files are skipped.

        Returns:
          The files in the archive's order, and members that are not files.

        Raises:
          ArchiveDamage: where the archive is not whole.
          OSError: where it cannot be read.
        """
        if self.kind == "zip":
            with self._zip_errors():
                return zips.open_directory(self.path).listing(max_file_bytes)
        with self._walker() as walker:
            return listing(walker, max_file_bytes)

    def read(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, bytes]]:
        """Reads files that `scan` listed.

        Args:
          entries: some of them, in any order.

        Yields:
          Each with its bytes: in the order given where `has_random_access`, else in the archive's,
          which is decompressed once, to its end.

        Raises:
          SourceError: where the bytes are not whole; it names the member.
        """
        if self.kind == "zip":
            yield from self._read_zip(entries)
        elif self.kind == "tar":
            yield from self._read_tar(entries)
        else:
            yield from self._read_stream(entries)

    def stream(
        self, wants_data: Callable[[str], bool], max_file_bytes: int = MAX_FILE_BYTES
    ) -> Iterator[tuple[Entry, bytes | None] | Skip]:
        """Goes through a compressed tar once, for those that are too large to go through twice.

        What only a second pass could read is a `Skip`: links. Members with the same name are all
        yielded.

        Args:
          wants_data: whether to read the bytes of a file of this name.
          max_file_bytes: larger files are skipped.

        Yields:
          The files in the archive's order with their bytes, or None where they are not wanted; and
          what is not one. What came before an error was whole.

        Raises:
          ArchiveDamage: where the archive is not whole.
        """
        with self._walker() as walker:
            for header in walker:
                if header.kind == "folder":
                    continue
                problem = unreadable(header, max_file_bytes)
                if problem is not None:
                    yield problem
                elif header.kind != "file":
                    detail = f"{header.kind} to {printable(header.target)}, in a compressed tar "
                    detail += f"that is read once; decompress {self.path.name}, and it is followed"
                    yield Skip(printable(header.name), BROKEN_LINK, detail)
                else:
                    entry = Entry(clean_name(header.name), header.size, header.position)
                    yield entry, walker.data() if wants_data(entry.name) else None

    def names(self) -> Iterator[str]:
        """Names of the files in the archive's order, links left out; reads as far as is asked for.

        Raises:
          ArchiveDamage: where the archive is not whole, once that is reached.
        """
        if self.kind == "zip":
            yield from (entry.name for entry in self.scan()[0])
            return
        for item in self.stream(lambda name: False):
            if not isinstance(item, Skip):
                yield item[0].name

    @contextlib.contextmanager
    def _walker(self) -> Iterator[tars.TarWalker]:
        """Walks the tar; what is wrong with it is said with the archive's path."""
        with tars.open_tar(self.path, self.kind) as source:
            try:
                yield tars.TarWalker(source)
            except tars.TarDamage as damage:
                self._fail(damage, damage.num_lost)

    def _fail(self, problem: object, num_lost: int | None) -> NoReturn:
        raise ArchiveDamage(
            f"{self.path} is cut off or damaged ({problem}); get it again, or pack it again",
            num_lost,
        )

    def _read_tar(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, bytes]]:
        with self.path.open("rb") as file:
            for entry in entries:
                file.seek(entry.position)
                data = file.read(entry.size)
                if len(data) < entry.size:
                    self._fail(f"it ends inside of {printable(entry.name)}", None)
                yield entry, data

    def _read_stream(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, bytes]]:
        wanted: dict[int, list[Entry]] = {}
        for entry in entries:
            wanted.setdefault(entry.position, []).append(entry)
        if not wanted:
            return
        with self._walker() as walker:
            for header in walker:
                if header.kind == "file" and header.position in wanted:
                    data = walker.data()
                    for entry in wanted.pop(header.position):
                        yield entry, data
        if wanted:
            name = printable(next(iter(wanted.values()))[0].name)
            raise SourceError(f"{self.path}: no {name} any more; it changed while it was read")

    def _read_zip(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, bytes]]:
        with self._zip_errors():
            directory = zips.open_directory(self.path)
            for entry in entries:
                yield entry, directory.read(entry)

    @contextlib.contextmanager
    def _zip_errors(self) -> Iterator[None]:
        try:
            yield
        except zips.ZipDamage as damage:
            self._fail(damage, damage.num_lost)


def open_archive(path: pathlib.Path) -> Archive:
    """Tells by its content what kind of archive a file is.

    Raises:
      SourceError: where it is none; it says what the file is instead, and what to try.
      OSError: where it cannot be read.
    """
    path = pathlib.Path(path)
    return Archive(path, magic.archive_kind(path))


def is_archive(path: pathlib.Path) -> bool:
    """Whether a file is an archive that `open_archive` opens, damaged further on or not."""
    try:
        open_archive(path)
    except (SourceError, OSError):
        return False
    return True


def is_archive_name(name: str) -> bool:
    """Whether a file's name says that it is an archive, whatever it holds."""
    return name.lower().endswith(SUFFIXES)


__all__ = [
    "BROKEN_LINK",
    "CUT_OFF",
    "ENCRYPTED",
    "MAX_FILE_BYTES",
    "NOT_A_FILE",
    "REPEATED_MEMBER",
    "SPARSE_FILE",
    "SUFFIXES",
    "TOO_LARGE",
    "UNSAFE_PATH",
    "UNSUPPORTED_COMPRESSION",
    "Archive",
    "ArchiveDamage",
    "Entry",
    "Header",
    "Listing",
    "Skip",
    "SourceError",
    "clean_name",
    "is_archive",
    "is_archive_name",
    "is_unsafe",
    "listing",
    "open_archive",
    "printable",
    "unreadable",
]
