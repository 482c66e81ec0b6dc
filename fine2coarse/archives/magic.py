"""What a file is, by its first bytes: an archive that can be read, or something else."""

from __future__ import annotations

import pathlib
import tarfile
import zipfile
from collections.abc import Mapping

from fine2coarse.archives import tars, zips
from fine2coarse.archives.entries import SourceError
from fine2coarse.archives.tars import BLOCK_BYTES

_UNPACK = "unpack it and give the folder"
_DOWNLOAD = "the download went wrong: open the address in a browser and save the archive itself"

_COMPRESSED: Mapping[bytes, str] = {
    b"\x1f\x8b": "tar.gz",
    b"BZh": "tar.bz2",
    b"\xfd7zXZ\0": "tar.xz",
}
_ZIP_BEGINS = (b"PK\3\4", b"PK\5\6")

_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\7\10", "a part of a split zip", f"join the parts (zip -s 0), or {_UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "decompress it (unzstd)"),
    (b"\x04\x22\x4d\x18", "an LZ4 file", "decompress it (unlz4)"),
    (b"\x1f\x9d", "a file of compress", "decompress it (uncompress)"),
    (b"LZIP", "an lzip file", "decompress it (lzip -d)"),
    (b"\xff\xd8\xff", "a JPEG image", "give the folder that it lies in"),
    (b"\x89PNG", "a PNG image", "give the folder that it lies in"),
    (b"GIF8", "a GIF image", "give the folder that it lies in"),
    (b"RIFF", "a RIFF file, such as a WebP image", "give the folder that it lies in"),
    (b"II*\0", "a TIFF image", "give the folder that it lies in"),
    (b"MM\0*", "a TIFF image", "give the folder that it lies in"),
    (b"BM", "a BMP image", "give the folder that it lies in"),
    (b"%PDF", "a PDF file", "give an archive or a folder of images"),
    (b"\x89HDF", "an HDF5 file", "give an archive or a folder of images"),
    (b"\x93NUMPY", "a NumPy file", "give an archive or a folder of images"),
    (b"PAR1", "a Parquet file", "give an archive or a folder of images"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself (git lfs pull)"),
    (b"<!doctype html", "an HTML page", _DOWNLOAD),
    (b"<html", "an HTML page", _DOWNLOAD),
    (b"<?xml", "an XML page", _DOWNLOAD),
    (b"<error", "an XML page", _DOWNLOAD),
    (b"{", "a JSON text", _DOWNLOAD),
)
_TEXT_BYTES = bytes(range(0x20, 0x7F)) + b"\t\r\n"


def archive_kind(path: pathlib.Path) -> str:
    """The kind of an archive: 'tar', 'tar.gz', 'tar.bz2', 'tar.xz' or 'zip'.

    Raises:
      SourceError: where the file is none; it says what it is, and what to try.
      OSError: where it cannot be read.
    """
    if path.is_dir():
        raise SourceError(f"{path} is a folder; an archive is expected")
    if not path.exists():
        raise SourceError(f"no file {path}; expected an archive")
    with path.open("rb") as file:
        block = file.read(BLOCK_BYTES)
    if block.startswith(_ZIP_BEGINS):
        return "zip"
    for begin, kind in _COMPRESSED.items():
        if block.startswith(begin):
            _check_compressed(path, kind)
            return kind
    if _begins_tar(block):
        return "tar"
    if zipfile.is_zipfile(path):
        return "zip"  # behind a program that unpacks it
    raise SourceError(f"{path} is {_described(path, block)}")


def _check_compressed(path: pathlib.Path, kind: str) -> None:
    """Raises `SourceError` where a compressed file holds no tar."""
    try:
        with tars.open_tar(path, kind) as source:
            block = source.read(BLOCK_BYTES)
    except tars.StreamDamage as error:
        raise SourceError(
            f"{path} is cut off or damaged at its beginning ({error}); get it again"
        ) from error
    if not _begins_tar(block):
        what, _ = _what(block)
        raise SourceError(
            f"{path} is a {kind.removeprefix('tar.')} file that holds no tar, but {what}; expected "
            "a tar, tar.gz, tar.bz2, tar.xz or zip of a folder"
        )


def _begins_tar(block: bytes) -> bool:
    """Whether a tar begins so; one without members is all zeros."""
    if len(block) < BLOCK_BYTES:
        return False
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:
        return True
    except tarfile.HeaderError:
        return False
    return True


def _described(path: pathlib.Path, block: bytes) -> str:
    """What a file is that is not an archive, and what to try."""
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        num_files = tars.num_file_headers(file, num_bytes)
    if num_files:
        return (
            f"a tar that is damaged at its beginning; {num_files} files that can be made out "
            "behind that would be lost; get it again"
        )
    with path.open("rb") as file:
        num_files = zips.num_local_headers(file) if b"PK" in block else 0
    if num_files:
        return (
            f"a zip that is damaged; {num_files} files that can be made out would be lost; "
            "get it again"
        )
    what, advice = _what(block)
    return f"{what}, no tar, tar.gz, tar.bz2, tar.xz or zip: {advice}"


def _what(block: bytes) -> tuple[str, str]:
    """What begins so, and what to try."""
    if not block:
        return "an empty file", "get it again"
    start = block.removeprefix(b"\xef\xbb\xbf").lstrip()
    for begin, what, advice in _OTHERS:
        if block.startswith(begin) or start[: len(begin)].lower() == begin:
            return what, advice
    if not block.strip(_TEXT_BYTES):
        return "a text", _DOWNLOAD
    return f"of an unknown kind (it begins with {block[:8].hex(' ')})", _UNPACK
