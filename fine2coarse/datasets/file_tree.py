"""The files of a folder or of an archive, listed and read the same way."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import stat
from collections.abc import Iterable, Iterator
from typing import Protocol

from fine2coarse.datasets import archives
from fine2coarse.datasets.archives import (
    BROKEN_LINK,
    MAX_FILE_BYTES,
    NOT_A_FILE,
    TOO_LARGE,
    Archive,
    Entry,
    Skip,
    SourceError,
)

_SYSTEM_NAMES = frozenset(("thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"))


@dataclasses.dataclass(frozen=True, slots=True)
class ListedFile:
    """A regular file, or a link to one.

    Attributes:
      name: its path below the root, with `/` between the parts.
      size: in bytes.
      time_ns: of its last change; of a file in an archive, the archive's.
      entry: its place in the archive; None in a folder.
    """

    name: str
    size: int
    time_ns: int
    entry: Entry | None = None


def is_hidden(name: str) -> bool:
    """Whether a path is hidden, or is what a system leaves beside its user's files."""
    parts = pathlib.PurePosixPath(name).parts
    return any(part.startswith(".") or part.lower() in _SYSTEM_NAMES for part in parts)


class FileTree(Protocol):
    """A folder or an archive; it travels to workers by pickle.

    Attributes:
      kind: in words, 'folder' or the archive's.
      has_random_access: whether files can be read in any order, by any process.
    """

    kind: str
    has_random_access: bool

    def list_files(self) -> tuple[list[ListedFile], list[Skip]]:
        """All files by name, and what is none, with reasons."""
        ...

    def empty_folders(self) -> list[str]:
        """Folders without anything in them, as far as they are known."""
        ...

    def read(self, files: Iterable[ListedFile]) -> Iterator[tuple[ListedFile, bytes]]:
        """Files and their bytes, in an order of its own."""
        ...


def open_tree(path: pathlib.Path) -> FileTree:
    """A folder, or an archive told by its content.

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
    """A folder; links are followed.

    Attributes:
      path: it.
    """

    path: pathlib.Path
    kind: str = "folder"
    has_random_access: bool = True

    def list_files(self) -> tuple[list[ListedFile], list[Skip]]:
        """All files below the folder.

        Raises:
          OSError: where a folder cannot be read.
        """
        files: list[ListedFile] = []
        skips: list[Skip] = []
        for name, path in self._walk():
            try:
                found = os.stat(path)  # noqa: PTH116 (a million Path objects take their time)
            except FileNotFoundError:
                target = os.readlink(path) if os.path.islink(path) else "gone"  # noqa: PTH114, PTH115
                skips.append(Skip(name, BROKEN_LINK, target))
                continue
            if not stat.S_ISREG(found.st_mode):
                skips.append(Skip(name, NOT_A_FILE, "a device, pipe or socket"))
            elif found.st_size > MAX_FILE_BYTES:
                skips.append(Skip(name, TOO_LARGE, f"{found.st_size} bytes"))
            else:
                files.append(ListedFile(name, found.st_size, found.st_mtime_ns))
        return sorted(files, key=lambda file: file.name), skips

    def _walk(self) -> Iterator[tuple[str, str]]:
        for folder, _, names in self._folders():
            below = os.path.relpath(folder, self.path)
            prefix = "" if below == "." else below.replace(os.sep, "/") + "/"
            for name in names:
                yield prefix + name, os.path.join(folder, name)  # noqa: PTH118

    def _folders(self) -> Iterator[tuple[str, list[str], list[str]]]:
        """As `os.walk`; a folder that a link shows again is entered once."""
        seen = {os.path.realpath(self.path)}
        for folder, folders, names in os.walk(self.path, onerror=_raise, followlinks=True):
            new = {name: os.path.realpath(os.path.join(folder, name)) for name in folders}  # noqa: PTH118
            folders[:] = sorted(name for name, path in new.items() if path not in seen)
            seen.update(new.values())
            yield folder, folders, names

    def empty_folders(self) -> list[str]:
        """Folders with neither files nor folders in them."""
        return sorted(
            pathlib.Path(folder).relative_to(self.path).as_posix()
            for folder, folders, names in self._folders()
            if not folders and not names
        )

    def read(self, files: Iterable[ListedFile]) -> Iterator[tuple[ListedFile, bytes]]:
        """Files and their bytes, in the order given."""
        for file in files:
            yield file, (self.path / file.name).read_bytes()


def _raise(error: OSError) -> None:
    raise error


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

    def list_files(self) -> tuple[list[ListedFile], list[Skip]]:
        """All files in the archive.

        Raises:
          SourceError: where it is damaged.
        """
        entries, skips = _scanned(self.archive, self._time_ns())
        files = [
            ListedFile(entry.name, entry.size, self._time_ns(), entry)
            for entry in sorted(entries, key=lambda entry: entry.name)
        ]
        return files, list(skips)

    def _time_ns(self) -> int:
        return self.archive.path.stat().st_mtime_ns

    def empty_folders(self) -> list[str]:
        """None: an archive's folders are those of its files."""
        return []

    def read(self, files: Iterable[ListedFile]) -> Iterator[tuple[ListedFile, bytes]]:
        """Files and their bytes, in the archive's order where it is a stream.

        Raises:
          SourceError: where bytes are missing.
        """
        file_of = {file.entry: file for file in files}
        for entry, data in self.archive.read(file_of):
            yield file_of[entry], data


@functools.lru_cache(maxsize=2)
def _scanned(archive: Archive, time_ns: int) -> tuple[list[Entry], list[Skip]]:
    """Scanned once as long as it does not change: a compressed archive is read through for it."""
    del time_ns
    return archive.scan()
