"""The files of a folder or of an archive, listed and read the same way."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import stat
from collections.abc import Iterable, Iterator
from typing import Protocol

from fine2coarse.archives import archives
from fine2coarse.archives.archives import (
    BROKEN_LINK,
    MAX_FILE_BYTES,
    NOT_A_FILE,
    TOO_LARGE,
    Archive,
    Entry,
    Skip,
    SourceError,
)

LINK_LOOP = "link that leads back"
_MAX_UINT64 = 2**64 - 1
_SYSTEM_NAMES = frozenset(("thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"))


@dataclasses.dataclass(frozen=True, slots=True)
class ListedFile:
    """A regular file, or a link to one.

    Attributes:
      name: its path below the root, with `/` between the parts.
      size: in bytes.
      stamp: times of the last changes of its content and of its place, in ns, and its inode: where
        these are the same, so is the file. Of a file in an archive they are the archive's.
      entry: its place in the archive; None in a folder.
    """

    name: str
    size: int
    stamp: tuple[int, int, int]
    entry: Entry | None = None


def is_hidden(name: str) -> bool:
    """Whether a path is hidden, or is what a system leaves beside its user's files."""
    parts = pathlib.PurePosixPath(name).parts
    return any(
        (part.startswith(".") and part != "..") or part.lower() in _SYSTEM_NAMES for part in parts
    )


@dataclasses.dataclass(frozen=True)
class TreeListing:
    """What is in a tree.

    Attributes:
      files: by name.
      skips: what cannot be read as a file, with reasons.
      empty_folders: names of folders with nothing in them; an archive's are not known.
    """

    files: list[ListedFile]
    skips: list[Skip]
    empty_folders: list[str] = dataclasses.field(default_factory=list)


class FileTree(Protocol):
    """A folder or an archive; it travels to workers by pickle.

    Attributes:
      kind: 'folder' or the archive's, for people to read.
      has_random_access: whether files can be read in any order, by any process.
    """

    kind: str
    has_random_access: bool

    def list_files(self) -> TreeListing:
        """Lists all files."""
        ...

    def read(self, files: Iterable[ListedFile]) -> Iterator[tuple[ListedFile, bytes]]:
        """Files and their bytes, in an order of its own."""
        ...


def open_tree(path: pathlib.Path) -> FileTree:
    """A folder, or an archive recognised by its content.

    Raises:
      SourceError: where there is neither.
    """
    if path.is_dir():
        return FolderTree(path)
    if path.is_file():
        return ArchiveTree(archives.open_archive(path))
    raise SourceError(f"{str(path)!r}: no such folder or archive")


@dataclasses.dataclass(frozen=True)
class FolderTree:
    """A folder; links to files and folders are followed, except one that leads back to itself.

    Names are read as UTF-8, whatever the locale says, so that they are the same everywhere.

    Attributes:
      path: it.
    """

    path: pathlib.Path
    kind: str = "folder"
    has_random_access: bool = True

    def list_files(self) -> TreeListing:
        """Lists all files below the folder.

        Raises:
          OSError: where a folder cannot be read.
        """
        found = TreeListing([], [], [])
        for name, item in self._walk():
            if isinstance(item, ListedFile):
                found.files.append(item)
            elif item is not None:
                found.skips.append(item)
            else:
                found.empty_folders.append(name)
        found.files.sort(key=lambda file: file.name)
        return found

    def read(self, files: Iterable[ListedFile]) -> Iterator[tuple[ListedFile, bytes]]:
        """Files and their bytes, in the order given."""
        for file in files:
            yield file, self.path_of(file).read_bytes()

    def path_of(self, file: ListedFile) -> pathlib.Path:
        """Where a file lies, as the system names it."""
        return self.path / _system_name(file.name)

    def _walk(self) -> Iterator[tuple[str, ListedFile | Skip | None]]:
        """Names below the folder with what is there; None for an empty folder."""
        top = self.path.stat()
        yield from _walk(os.fspath(self.path), "", ((top.st_dev, top.st_ino),))


def _walk(
    folder: str, name: str, above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, ListedFile | Skip | None]]:
    """Walks a folder.

    Args:
      folder: its path.
      name: its path below the root; empty for that.
      above: device and inode of the folder and those above it, to notice loops by.
    """
    items = sorted(os.scandir(folder), key=lambda item: os.fsencode(item.name))
    if not items and name:
        yield name, None
    for item in items:
        below = f"{name}/{_text(item.name)}" if name else _text(item.name)
        try:
            found = item.stat()
        except OSError as error:  # a link to nothing, or to itself
            target = os.readlink(item.path) if item.is_symlink() else error.strerror  # noqa: PTH115
            yield below, Skip(below, BROKEN_LINK, f"leads to {target}")
            continue
        key = found.st_dev, found.st_ino
        if stat.S_ISDIR(found.st_mode):
            if key in above:
                yield below, Skip(below, LINK_LOOP, f"leads back to {os.path.realpath(item.path)}")
            else:
                yield from _walk(item.path, below, (*above, key))
        elif not stat.S_ISREG(found.st_mode):
            yield below, Skip(below, NOT_A_FILE, "a device, pipe or socket")
        elif found.st_size > MAX_FILE_BYTES:
            yield below, Skip(below, TOO_LARGE, f"{found.st_size} bytes")
        else:
            yield below, ListedFile(below, found.st_size, _stamp(found))


def _text(system_name: str) -> str:
    return os.fsencode(system_name).decode("utf-8", "surrogateescape")


def _system_name(text: str) -> str:
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    """As unsigned 64-bit integers: files may be dated before 1970, and inodes be as large."""
    values = found.st_mtime_ns, found.st_ctime_ns, found.st_ino
    return tuple(value & _MAX_UINT64 for value in values)


@dataclasses.dataclass(frozen=True)
class ArchiveTree:
    """An archive; what a link in it points to in it is read in the link's place.

    Attributes:
      archive: it.
    """

    archive: Archive

    @property
    def kind(self) -> str:
        """'tar', 'zip', …"""
        return self.archive.kind

    @property
    def has_random_access(self) -> bool:
        """Not where it is compressed as a whole."""
        return self.archive.has_random_access

    def list_files(self) -> TreeListing:
        """All files in the archive.

        Raises:
          SourceError: where it is damaged.
        """
        stamp = _stamp(self.archive.path.stat())
        entries, skips = _scanned(self.archive, stamp)
        files = [
            ListedFile(entry.name, entry.size, stamp, entry)
            for entry in sorted(entries, key=lambda entry: entry.name)
        ]
        return TreeListing(files, list(skips))

    def is_as_of(self, stamp: tuple[int, int, int]) -> bool:
        """Whether the archive has the stamp that its files had when it was listed."""
        return _stamp(self.archive.path.stat()) == stamp

    def read(self, files: Iterable[ListedFile]) -> Iterator[tuple[ListedFile, bytes]]:
        """Files and their bytes, in the archive's order where it is a stream.

        Raises:
          SourceError: where bytes are missing.
        """
        file_of = {file.entry: file for file in files}
        for entry, data in self.archive.read(file_of):
            yield file_of[entry], data


@functools.lru_cache(maxsize=2)
def _scanned(archive: Archive, stamp: tuple[int, int, int]) -> tuple[list[Entry], list[Skip]]:
    """Scanned once as long as it does not change: a compressed archive is read through for it."""
    del stamp
    return archive.scan()
