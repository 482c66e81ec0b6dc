"""Reads a tar's headers strictly: all of it is accounted for, to its last byte.

Python's `tarfile` takes any end for the end mark and a damaged header for the end. Here a tar that
is cut off, damaged or goes on after its end mark is a `TarDamage`, which counts what would be lost.
What no reader can notice: files at the end of a plain tar that were all overwritten by zeros.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import pathlib
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, NoReturn, Protocol

from fine2coarse.archives.entries import NOT_A_FILE, Header, printable
from fine2coarse.errors import Fine2CoarseError

SPARSE_FILE = "sparse file"
BLOCK_BYTES = 512
_CHUNK_BYTES = 1 << 20
_MAX_EXTENSION_BYTES = 4 << 20  # of a long name or a PAX header
_FILE_TYPES = (*tarfile.REGULAR_TYPES, tarfile.LNKTYPE, tarfile.SYMTYPE)
_HEADER_HINT = re.compile(rb"ustar|[0-7]{6}\0 ")  # the magic, or a checksum
_MAGIC_OFFSET, _CHECKSUM_OFFSET = 257, 148
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,9}) ([^=\n]+)=")
_MAX_DIGITS = 18  # of a size
_FOLDER_LIKE_TYPES = (b"D", b"V")  # GNU tar's list of a folder, and the name of a volume
_DECOMPRESSORS: Mapping[str, Callable[[pathlib.Path], BinaryIO]] = {
    "tar.gz": gzip.open,
    "tar.bz2": bz2.open,
    "tar.xz": lzma.open,
}
_STREAM_ERRORS = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


class TarDamage(Fine2CoarseError):
    """A tar that is not whole.

    Attributes:
      num_whole: files that stand whole before the damage.
      num_lost: files that can be made out behind it, the one that it cuts off included; None
        where nothing behind it can be read.
    """

    def __init__(self, problem: str, num_whole: int, num_lost: int | None) -> None:
        lost = "all" if num_lost is None else f"{num_lost} files that can be made out"
        super().__init__(
            f"{problem}; {num_whole} files stand whole before that, {lost} behind it would be lost"
        )
        self.num_whole = num_whole
        self.num_lost = num_lost


class StreamDamage(Fine2CoarseError):
    """A compressed stream that is cut off or damaged."""


class TarBytes(Protocol):
    """The bytes of an uncompressed tar.

    Attributes:
      position: of the next byte.
    """

    position: int

    def read(self, size: int) -> bytes:
        """Reads `size` bytes; fewer only at the end."""
        ...

    def skip(self, size: int) -> int:
        """Passes over `size` bytes and returns how many there were."""
        ...

    def has(self, size: int) -> bool:
        """Whether `size` more bytes are there; True where only reading can tell."""
        ...


class FileSlice:
    """A part of a file, or all of it: a tar, also one within a tar, without copying it out."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self.position = 0
        self._file, self._offset, self._size = file, offset, size

    def read(self, size: int) -> bytes:
        """Reads at most `size` bytes; fewer only at the slice's end."""
        self._file.seek(self._offset + self.position)
        data = self._file.read(min(size, self._size - self.position))
        self.position += len(data)
        return data

    def read_at(self, position: int, size: int) -> bytes:
        """Reads `size` bytes from a position on."""
        self.position = position
        return self.read(size)

    def skip(self, size: int) -> int:
        """Passes over `size` bytes and returns how many there were."""
        skipped = min(size, self._size - self.position)
        self.position += skipped
        return skipped

    def has(self, size: int) -> bool:
        """Whether `size` more bytes are there."""
        return size <= self._size - self.position


class ForwardStream:
    """A stream that can be read from its beginning only: a compressed tar."""

    def __init__(self, file: BinaryIO) -> None:
        self.position = 0
        self._file = file

    def read(self, size: int) -> bytes:
        """Reads `size` bytes; fewer only at the end.

        Raises:
          StreamDamage: where the compressed stream ends early or is damaged.
        """
        chunks: list[bytes] = []
        while size > 0 and (chunk := self._read_chunk(min(size, _CHUNK_BYTES))):
            chunks.append(chunk)
            size -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _read_chunk(self, size: int) -> bytes:
        try:
            chunk = self._file.read(size)
        except _STREAM_ERRORS as error:
            raise StreamDamage(str(error)) from error
        except OSError as error:
            if error.errno is not None:  # the disk's, not the stream's
                raise
            raise StreamDamage(str(error)) from error
        self.position += len(chunk)
        return chunk

    def skip(self, size: int) -> int:
        """Passes over `size` bytes and returns how many there were."""
        left = size
        while left > 0 and (chunk := self._read_chunk(min(left, _CHUNK_BYTES))):
            left -= len(chunk)
        return size - left

    def has(self, size: int) -> bool:
        """True: only reading can tell."""
        del size
        return True


@contextlib.contextmanager
def open_tar(path: pathlib.Path, kind: str) -> Iterator[TarBytes]:
    """Opens a tar for reading.

    Args:
      path: of the file.
      kind: 'tar', 'tar.gz', 'tar.bz2' or 'tar.xz'.
    """
    if kind == "tar":
        with path.open("rb", buffering=_CHUNK_BYTES) as file:
            yield FileSlice(file, 0, path.stat().st_size)
    else:
        with _DECOMPRESSORS[kind](path) as file:
            yield ForwardStream(file)


class TarWalker:
    """Goes through a tar once, member by member.

    Iterating gives a `Header` for each member, folders included. Until the next is asked for,
    `data` reads the member's bytes. Where the tar is not whole, both raise `TarDamage`.
    """

    def __init__(self, source: TarBytes) -> None:
        self._source = source
        self._num_whole = 0
        self._current = Header("", "other")

    def __iter__(self) -> Iterator[Header]:
        """Yields the members. Those of a `FileSlice` are whole; of a stream, only reading tells."""
        while True:
            with self._stream_damage():
                found = self._next_member()
            if found is None:
                return
            header, data_bytes = found
            end = self._source.position + _padded(data_bytes)
            if not self._source.has(end - self._source.position):
                self._fail_inside(header)
            self._current = header
            yield header
            left = end - self._source.position
            with self._stream_damage():
                skipped = self._source.skip(left)
            if skipped < left:
                self._fail_inside(header)
            self._num_whole += header.kind != "folder"

    def data(self) -> bytes:
        """The bytes of the member that was yielded last; to be called once."""
        with self._stream_damage():
            data = self._source.read(self._current.size)
        if len(data) < self._current.size:
            self._fail_inside(self._current)
        return data

    @contextlib.contextmanager
    def _stream_damage(self) -> Iterator[None]:
        try:
            yield
        except StreamDamage as error:
            problem = f"the compressed stream breaks off behind byte {self._source.position} of "
            problem += f"the tar in it ({error})"
            raise TarDamage(problem, self._num_whole, None) from error

    def _fail(self, problem: str, seen: bytes = b"", num_lost: int = 0) -> NoReturn:
        """Raises `TarDamage`.

        Args:
          problem: what is wrong, and where.
          seen: bytes already read that may hold headers.
          num_lost: files already known to be lost.
        """
        num_lost += _num_headers(self._source, seen)
        raise TarDamage(problem, self._num_whole, num_lost)

    def _fail_inside(self, header: Header) -> NoReturn:
        self._fail(
            f"it ends inside of {printable(header.name)}, which has {header.size} bytes",
            num_lost=int(header.kind != "folder"),
        )

    def _next_member(self) -> tuple[Header, int] | None:
        """The next member and how many bytes of data follow; None at the end of the tar."""
        long_name = long_target = None
        pax: dict[str, str] = {}
        while True:
            info = self._next_block(is_inside=bool(pax or long_name or long_target))
            if info is None:
                return None
            if info.type == tarfile.XGLTYPE:
                self._check_global(self._pax_records(info))
            elif info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                pax = self._pax_records(info)
            elif info.type == tarfile.GNUTYPE_LONGNAME:
                long_name = _text(self._extension(info).split(b"\0")[0])
            elif info.type == tarfile.GNUTYPE_LONGLINK:
                long_target = _text(self._extension(info).split(b"\0")[0])
            else:
                name = pax.get("path", long_name or info.name)
                info.name = pax.get("GNU.sparse.name", name)
                info.linkname = pax.get("linkpath", long_target or info.linkname)
                if "size" in pax:
                    info.size = self._number(pax["size"])
                return self._member(info, is_sparse=any("GNU.sparse" in key for key in pax))

    def _next_block(self, *, is_inside: bool) -> tarfile.TarInfo | None:
        """The next header as it stands; None at the end mark.

        Args:
          is_inside: whether a long name or the like was read that belongs to the next header.
        """
        begin = self._source.position
        block = self._source.read(BLOCK_BYTES)
        if len(block) < BLOCK_BYTES:
            self._fail(f"it is cut off at byte {begin + len(block)}, without an end mark")
        if not any(block):
            if is_inside:
                self._fail(f"zeros at byte {begin} where a member should begin")
            self._check_end(begin)
            return None
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            self._fail(f"the header at byte {begin} is damaged", block)
        if info.size < 0:
            self._fail(f"the header at byte {begin} tells of {info.size} bytes", block)
        return info

    def _check_end(self, end_mark: int) -> None:
        """Raises `TarDamage` where anything but zeros follows the end mark."""
        while chunk := self._source.read(_CHUNK_BYTES):
            if any(chunk):
                begin = self._source.position - len(chunk.lstrip(b"\0"))
                self._fail(
                    f"data at byte {begin}, behind the end mark at byte {end_mark} (a damaged "
                    "stretch, or tars joined by cat, which tar --concatenate joins rightly)",
                    chunk,
                )

    def _member(self, info: tarfile.TarInfo, *, is_sparse: bool) -> tuple[Header, int]:
        """A member, and how many bytes of data follow its header."""
        if info.type == tarfile.GNUTYPE_SPARSE:
            self._skip_sparse_map(info)
        position = self._source.position
        if is_sparse or info.type == tarfile.GNUTYPE_SPARSE:
            detail = "pack without tar --sparse"
            return Header(info.name, "other", 0, position, "", SPARSE_FILE, detail), info.size
        if info.type == tarfile.LNKTYPE:
            return Header(info.name, "hard link", 0, position, info.linkname), 0
        if info.type == tarfile.SYMTYPE:
            return Header(info.name, "symbolic link", 0, position, info.linkname), 0
        if info.type == tarfile.DIRTYPE or (info.isreg() and info.name.endswith("/")):
            return Header(info.name, "folder"), info.size if info.isreg() else 0
        if info.isreg():
            return Header(info.name, "file", info.size, position), info.size
        if info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            return Header(info.name, "other", 0, position, "", NOT_A_FILE, "a device or pipe"), 0
        if info.type in _FOLDER_LIKE_TYPES:
            return Header(info.name, "folder"), info.size
        detail = f"member of type {printable(_text(info.type))!r}"
        return Header(info.name, "other", 0, position, "", NOT_A_FILE, detail), info.size

    def _skip_sparse_map(self, info: tarfile.TarInfo) -> None:
        """Passes over the blocks that go on with the map of an old GNU sparse file."""
        goes_on = info._sparse_structs[1]
        while goes_on:
            block = self._source.read(BLOCK_BYTES)
            if len(block) < BLOCK_BYTES:
                self._fail(f"it is cut off at byte {self._source.position}", num_lost=1)
            goes_on = bool(block[504])

    def _extension(self, info: tarfile.TarInfo) -> bytes:
        """The data of a long name or a PAX header."""
        begin = self._source.position
        if info.size > _MAX_EXTENSION_BYTES:
            self._fail(f"a name or PAX header of {info.size} bytes at byte {begin}")
        padded = _padded(info.size)
        data = self._source.read(padded)
        if len(data) < padded:
            self._fail(f"it is cut off at byte {begin + len(data)}, without an end mark", data)
        return data[: info.size]

    def _pax_records(self, info: tarfile.TarInfo) -> dict[str, str]:
        begin = self._source.position
        data = self._extension(info)
        records: dict[str, str] = {}
        rest = data.rstrip(b"\0")
        while rest:
            match = _PAX_RECORD.match(rest)
            length = int(match[1]) if match else 0
            if not match or length <= match.end() or rest[length - 1 : length] != b"\n":
                self._fail(f"the PAX header at byte {begin} is damaged", data)
            value = rest[match.end() : length - 1]
            if value:
                records[_text(match[2])] = _text(value)
            rest = rest[length:]
        return records

    def _check_global(self, records: Mapping[str, str]) -> None:
        """Raises `TarDamage` where a global header would rename or resize all that follows."""
        found = sorted({"path", "linkpath", "size"} & set(records))
        if found:
            self._fail(f"a global PAX header sets {found} of every member")

    def _number(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
            self._fail(f"a PAX header tells of {printable(text[:40])} bytes")
        return int(text)


def _padded(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _num_headers(source: TarBytes, seen: bytes) -> int:
    """Headers of files that can be made out in the rest of a damaged tar, at any byte.

    Args:
      source: read to its end.
      seen: bytes that were read just before.
    """
    num_found = 0
    buffer, last = seen, -1  # last: where the header before began, in the tar
    while True:
        begin = source.position - len(buffer)
        for match in _HEADER_HINT.finditer(buffer):
            offset = _MAGIC_OFFSET if match[0] == b"ustar" else _CHECKSUM_OFFSET
            start = match.start() - offset
            is_new = start >= 0 and begin + start > last
            if is_new and _is_file_header(buffer[start : start + BLOCK_BYTES]):
                num_found, last = num_found + 1, begin + start
        try:
            chunk = source.read(_CHUNK_BYTES)
        except StreamDamage:
            return num_found
        if not chunk:
            return num_found
        buffer = buffer[-2 * BLOCK_BYTES :] + chunk


def _is_file_header(block: bytes) -> bool:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape").type in _FILE_TYPES
    except tarfile.HeaderError:
        return False


def num_file_headers(file: BinaryIO, size: int) -> int:
    """Headers of files that can be made out anywhere in a file, as in a damaged tar."""
    return _num_headers(FileSlice(file, 0, size), b"")
