"""Reads a zip's directory strictly, and its members no further than their headers say."""

from __future__ import annotations

import functools
import lzma
import pathlib
import re
import stat
import struct
import zipfile
import zlib
from typing import BinaryIO

from fine2coarse.archives.entries import (
    BROKEN_LINK,
    MAX_FILE_BYTES,
    NOT_A_FILE,
    Entry,
    Header,
    Skip,
    listing,
    printable,
)
from fine2coarse.errors import Fine2CoarseError

ENCRYPTED = "encrypted member"
UNSUPPORTED_COMPRESSION = "compression that is not supported"

_FLAG_ENCRYPTED, _FLAG_PATCH, _FLAG_STRONG, _FLAG_UTF8 = 0x1, 0x20, 0x40, 0x800
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_METHOD_NAMES = {9: "Deflate64", 93: "Zstandard", 95: "XZ", 98: "PPMd", 99: "AES"}
_DOS, _UNIX, _OS_X = 0, 3, 19  # systems that a member was packed on
_MAX_TARGET_BYTES = 4096
_UNICODE_PATH = 0x7075  # extra field: the name in UTF-8
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_LOCAL_MAGIC = b"PK\3\4"
_MAX_VERSION = 63  # of the format, needed to read a member
_END = struct.Struct("<4s4H2IH")
_END_MAGIC = b"PK\5\6"
_END64_LOCATOR_BYTES, _END64_MAGIC = 20, b"PK\6\6"
_END64_BYTES, _END64_COUNT_OFFSET = 56, 32
_TAIL_BYTES = _END.size + 0xFFFF + _END64_LOCATOR_BYTES + _END64_BYTES
_CHUNK_BYTES = 1 << 20
_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    struct.error,
)


class ZipDamage(Fine2CoarseError):
    """A zip that is not whole.

    Attributes:
      num_lost: files that would be lost.
    """

    def __init__(self, problem: str, num_lost: int) -> None:
        super().__init__(f"{problem}; {num_lost} files that can be made out would be lost")
        self.num_lost = num_lost


class ZipDirectory:
    """The members of a zip."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except _ERRORS as error:
            raise self._damage(f"its directory cannot be read ({error})") from error
        except OSError as error:
            if error.filename is not None:  # the disk's, not the zip's
                raise
            raise self._damage(f"its directory cannot be read ({error})") from error
        self._members = self._zip.infolist()

    def listing(self, max_file_bytes: int = MAX_FILE_BYTES) -> tuple[list[Entry], list[Skip]]:
        """The files, and members that are not files.

        Raises:
          ZipDamage: where directory and members contradict each other.
        """
        self._check_count()
        self._check_places()
        headers = (self._header(number, info) for number, info in enumerate(self._members))
        return listing(headers, max_file_bytes)

    def read(self, entry: Entry) -> bytes:
        """The bytes of a file, checked against their checksum.

        Raises:
          ZipDamage: where they are not whole.
        """
        return self._read(self._members[entry.position], entry.name)

    def _read(self, info: zipfile.ZipInfo, name: str) -> bytes:
        try:
            with self._zip.open(info) as file:
                data = file.read(info.file_size)  # without the size, a bomb would go off
        except _ERRORS as error:
            raise ZipDamage(f"{printable(name)} is damaged ({error})", 1) from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise ZipDamage(f"{printable(name)} is damaged ({error})", 1) from error
        if len(data) < info.file_size or (not data and info.CRC):
            problem = f"{printable(name)} has {len(data)} bytes, not {info.file_size}"
            raise ZipDamage(problem, 1)
        return data

    def _damage(self, problem: str) -> ZipDamage:
        with self._path.open("rb") as file:
            return ZipDamage(problem, num_local_headers(file))

    def _check_count(self) -> None:
        """Checks that the directory has as many members as it says."""
        with self._path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read()
        begin = tail.rfind(_END_MAGIC)
        declared, limit = _END.unpack_from(tail, begin)[4], 1 << 16
        end64 = begin - _END64_LOCATOR_BYTES - _END64_BYTES
        if end64 >= 0 and tail[end64 : end64 + 4] == _END64_MAGIC:
            (declared,) = struct.unpack_from("<Q", tail, end64 + _END64_COUNT_OFFSET)
            limit = 1 << 64
        # some programs write more than 65,535 members with a count that has overflowed
        if len(self._members) % limit != declared:
            raise self._damage(f"its directory has {len(self._members)} members, not {declared}")

    def _check_places(self) -> None:
        """Checks that each member begins where the directory says, and that none overlap."""
        if not self._members and self._zip.start_dir > 0:
            damage = self._damage("its directory is empty")
            if damage.num_lost:
                raise damage
        places: list[tuple[int, int, str]] = []
        with self._path.open("rb") as file:
            for info in self._members:
                name = printable(info.orig_filename)
                stored = _stored_name(info)
                if info.header_offset < 0:
                    raise self._damage(f"{name} would begin before the file")
                file.seek(info.header_offset)
                block = file.read(_LOCAL_HEADER.size + len(stored))
                if len(block) < _LOCAL_HEADER.size or block[_LOCAL_HEADER.size :] != stored:
                    raise self._damage(f"the header of {name} at byte {info.header_offset} differs")
                magic, *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack_from(block)
                if magic != _LOCAL_MAGIC or name_bytes != len(stored):
                    raise self._damage(f"no header of {name} at byte {info.header_offset}")
                end = info.header_offset + len(block) + extra_bytes + info.compress_size
                places.append((info.header_offset, end, name))
        places.sort()
        begins = [begin for begin, _, _ in places[1:]] + [self._zip.start_dir]
        for (_, end, name), begin in zip(places, begins):
            if end > begin:
                raise self._damage(f"{name} ends at byte {end}, where others are")

    def _header(self, number: int, info: zipfile.ZipInfo) -> Header:
        name = member_name(info)
        if name.endswith("/"):
            return Header(name, "folder")
        if info.flag_bits & (_FLAG_ENCRYPTED | _FLAG_STRONG):
            detail = "unpack it with its password and give the folder"
            return Header(name, "other", reason=ENCRYPTED, detail=detail)
        if info.compress_type not in _METHODS or info.flag_bits & _FLAG_PATCH:
            method = _METHOD_NAMES.get(info.compress_type, f"method {info.compress_type}")
            detail = f"{method}; unpack it and give the folder, or pack it with deflate"
            return Header(name, "other", reason=UNSUPPORTED_COMPRESSION, detail=detail)
        mode = info.external_attr >> 16 if info.create_system in (_UNIX, _OS_X) else 0
        if stat.S_ISLNK(mode):
            return self._link(number, info, name)
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            return Header(name, "other", reason=NOT_A_FILE, detail="a device, pipe or folder")
        return Header(name, "file", info.file_size, number)

    def _link(self, number: int, info: zipfile.ZipInfo, name: str) -> Header:
        if info.file_size > _MAX_TARGET_BYTES:
            detail = f"a path of {info.file_size} bytes"
            return Header(name, "other", reason=BROKEN_LINK, detail=detail)
        target = self._read(info, name).decode("utf-8", "surrogateescape")
        return Header(name, "symbolic link", 0, number, target)


def open_directory(path: pathlib.Path) -> ZipDirectory:
    """The directory of a zip; the last few are kept, for reading one takes long where it is large.

    Raises:
      ZipDamage: where there is none, or it is damaged.
      OSError: where the file cannot be read.
    """
    status = path.stat()
    return _open_directory(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _open_directory(path: pathlib.Path, num_bytes: int, modified_ns: int) -> ZipDirectory:
    del num_bytes, modified_ns  # part of the cache's key: they identify the content
    return ZipDirectory(path)


def member_name(info: zipfile.ZipInfo) -> str:
    """A member's name: UTF-8 where it can be, marked so or not; else as its system wrote it.

    macOS and many programs write UTF-8 without the mark. What is left is in DOS's code page 437,
    or of any encoding on Unix.
    """
    stored = _unicode_path(info) or _stored_name(info)
    try:
        name = stored.decode("utf-8")
    except UnicodeDecodeError:
        is_unix = info.create_system in (_UNIX, _OS_X)
        name = stored.decode("utf-8", "surrogateescape") if is_unix else stored.decode("cp437")
    return name.replace("\\", "/") if info.create_system == _DOS else name


def _stored_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & _FLAG_UTF8 else "cp437")


def _unicode_path(info: zipfile.ZipInfo) -> bytes | None:
    """The name of the Unicode path field, where there is one that belongs to the stored name."""
    extra = info.extra
    while len(extra) >= 4:
        field, size = struct.unpack_from("<HH", extra)
        data = extra[4 : 4 + size]
        if field == _UNICODE_PATH and len(data) > 5:
            (checksum,) = struct.unpack_from("<I", data, 1)
            return data[5:] if checksum == zlib.crc32(_stored_name(info)) else None
        extra = extra[4 + size :]
    return None


def num_local_headers(file: BinaryIO) -> int:
    """Files that can be made out in a damaged zip by the headers before their bytes."""
    num_found, buffer, seen = 0, b"", 0
    file.seek(0)
    while chunk := file.read(_CHUNK_BYTES):
        buffer += chunk
        for match in re.finditer(re.escape(_LOCAL_MAGIC), buffer):
            header = buffer[match.start() : match.start() + _LOCAL_HEADER.size]
            if match.start() < seen or len(header) < _LOCAL_HEADER.size:
                continue
            _, version, *_, name_bytes, _ = _LOCAL_HEADER.unpack(header)
            name = buffer[match.start() + len(header) :][:name_bytes]
            num_found += version <= _MAX_VERSION and name_bytes > 0 and not name.endswith(b"/")
        keep = min(len(buffer), _LOCAL_HEADER.size - 1)
        seen, buffer = 0, buffer[len(buffer) - keep :]
    return num_found
