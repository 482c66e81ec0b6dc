"""Reads tar archives as streams, member by member, without unpacking anything to disk."""

from __future__ import annotations

import dataclasses
import gzip
import pathlib
import tarfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

CUT_OFF = "archive cut off or damaged"
UNSAFE_PATH = "unsafe path"
NOT_A_FILE = "not a regular file"

_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK_BYTES = 1 << 20


class SourceError(ValueError):
    """A source that is missing, ambiguous, cut off or not as its layout says."""


@dataclasses.dataclass(frozen=True)
class Skip:
    """Something in a source that gives no example.

    Attributes:
      name: where it stands in the source.
      reason: one of few fixed phrases, to count by.
      detail: what else there is to say.
      num_files: files that it stands for; 0 where it tells of a whole archive.
    """

    name: str
    reason: str
    detail: str = ""
    num_files: int = 1


@dataclasses.dataclass(frozen=True)
class Member:
    """A regular file in a tar.

    Attributes:
      name: its path in the archive.
      data: its bytes; None where only the position was asked for.
      offset: where its bytes begin in the tar.
      size: how many they are.
    """

    name: str
    data: bytes | None
    offset: int
    size: int


class _StrictTarInfo(tarfile.TarInfo):
    """Remembers whether the archive came to its end mark; tarfile takes any end for one."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:
            archive.has_end_mark = True
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"at byte {archive.offset}: {error}") from error


def iterate_tar(
    file: BinaryIO,
    where: str,
    *,
    wants_data: Callable[[str], bool] = lambda name: True,
    seekable: bool = False,
) -> Iterator[Member | Skip]:
    """Yields a tar's regular files in their order, and a `Skip` for what is not one.

    Args:
      file: the tar, uncompressed.
      where: what a skip's name begins with.
      wants_data: tells of a member's name whether to read its bytes.
      seekable: whether to seek over the bytes that are not read.

    Yields:
      Members and skips. A cut-off archive ends with a skip of reason `CUT_OFF`; what
      stood whole before is there. Folders are passed over.
    """
    num_members = 0
    try:
        with tarfile.open(
            fileobj=file, mode="r:" if seekable else "r|", tarinfo=_StrictTarInfo
        ) as archive:
            while (info := archive.next()) is not None:
                archive.members.clear()  # or a million headers stay in memory
                if info.isdir():
                    continue
                name = f"{where}/{info.name}" if where else info.name
                if is_unsafe(info.name):
                    yield Skip(name, UNSAFE_PATH, "would leave its folder when unpacked")
                elif not info.isreg():
                    yield Skip(name, NOT_A_FILE, "a link or a device")
                else:
                    data = archive.extractfile(info).read() if wants_data(info.name) else None
                    num_members += 1
                    yield Member(info.name, data, info.offset_data, info.size)
            if not getattr(archive, "has_end_mark", False):
                raise tarfile.ReadError("no end mark")
    except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
        yield Skip(where, CUT_OFF, f"after {num_members} whole files: {error}", num_files=0)


def is_unsafe(name: str) -> bool:
    """Whether unpacking a member of this name could write outside of its folder."""
    path = name.replace("\\", "/")
    has_drive = name[1:2] == ":"
    return path.startswith("/") or has_drive or ".." in path.split("/") or "\0" in name


def is_gzip(path: pathlib.Path) -> bool:
    """Whether a file begins as gzip does."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MAGIC


def is_tar(path: pathlib.Path) -> bool:
    """Whether a file is a tar, gzipped or not, by its first header."""
    try:
        with open_tar(path) as file, tarfile.open(fileobj=file, mode="r|"):
            return True
    except (tarfile.TarError, EOFError, OSError):
        return False


def first_file(path: pathlib.Path) -> str:
    """Name of the first regular file in a tar that unpacking could safely write; or empty."""
    with open_tar(path) as file:
        for member in iterate_tar(file, "", wants_data=lambda name: False):
            if isinstance(member, Member):
                return member.name
    return ""


def open_tar(path: pathlib.Path) -> BinaryIO:
    """Opens a tar for reading, gunzipping where it is gzipped."""
    if is_gzip(path):
        return gzip.open(path, "rb")
    return path.open("rb", buffering=_BLOCK_BYTES)


class FileSlice:
    """A part of a file as a stream of its own: a tar within a tar, without copying it out."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file = file
        self._left = size
        file.seek(offset)

    def read(self, size: int = -1) -> bytes:
        """Reads at most `size` bytes; fewer only at the slice's end."""
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted)
        self._left -= len(data)
        return data
