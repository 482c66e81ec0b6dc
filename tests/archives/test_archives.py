"""The one archive reader: whatever a tar or zip can hold is read right, or refused by name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pathlib
import pickle
import shutil
import stat
import struct
import subprocess
import tarfile
import tracemalloc
import unicodedata
import zipfile
import zlib

import pytest

from fine2coarse.archives import archives, entries, tars
from fine2coarse.archives.archives import Archive, ArchiveDamage, Entry, SourceError, open_archive
from tests.datasets import fakes

FILES = {f"train/ash/{n}.jpg": bytes([n]) * (300 + 400 * n) for n in range(6)}
needs_gnu_tar = pytest.mark.skipif(
    "GNU tar"
    not in subprocess.run(
        [shutil.which("tar") or "true", "--version"], capture_output=True, text=True
    ).stdout,
    reason="needs GNU tar",
)


def write(tmp_path: pathlib.Path, data: bytes, name: str = "photos.tar") -> Archive:
    path = tmp_path / name
    path.write_bytes(data)
    return open_archive(path)


def content(archive: Archive) -> dict[str, bytes]:
    return {entry.name: data for entry, data in archive.read(archive.scan()[0])}


def reasons(archive: Archive) -> dict[str, str]:
    return {skip.name: skip.reason for skip in archive.scan()[1]}


def tar_of(*members: tuple, fmt: int = tarfile.GNU_FORMAT, pax=None) -> bytes:
    """A tar of (name, bytes) for files and (name, type, target) for what is not one."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=fmt, pax_headers=pax) as archive:
        for name, what, *target in members:
            info = tarfile.TarInfo(name)
            if target:
                info.type, info.linkname = what, target[0]
                archive.addfile(info)
            else:
                info.size = len(what)
                archive.addfile(info, io.BytesIO(what))
    return stream.getvalue()


def zip_of(files=FILES, method=zipfile.ZIP_DEFLATED, change=lambda info: None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in files.items() if isinstance(files, dict) else files:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            change(info)
            archive.writestr(info, data)
    return stream.getvalue()


def header_offset(data: bytes, number: int) -> int:
    """Where the header of a tar's file begins."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()[number].offset


KINDS = {
    "tar": lambda data: data,
    "tar.gz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_tar_gives_its_files(tmp_path, kind):
    archive = write(tmp_path, KINDS[kind](fakes.tar_bytes(FILES)), "photos.any")
    assert archive.kind == kind
    assert archive.has_random_access == (kind == "tar")
    assert content(pickle.loads(pickle.dumps(archive))) == FILES
    assert archive.scan()[1] == []
    some = archive.scan()[0][3:1:-1]
    assert {entry.name: data for entry, data in archive.read(some)} == {
        name: FILES[name] for name in ("train/ash/3.jpg", "train/ash/2.jpg")
    }


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, 12, 14])
def test_zip(tmp_path, method):
    archive = write(tmp_path, zip_of(method=method), "photos.zip")
    assert (archive.kind, archive.has_random_access) == ("zip", True)
    assert content(pickle.loads(pickle.dumps(archive))) == FILES


def test_position_and_size(tmp_path):
    archive = write(tmp_path, fakes.tar_bytes({"a": b"12345", "b": b"678"}))
    assert archive.scan()[0] == [Entry("a", 5, 512), Entry("b", 3, 1536)]
    archive = write(tmp_path, zip_of({"a": b"12345", "b": b"678"}), "photos.zip")
    assert archive.scan()[0] == [Entry("a", 5, 0), Entry("b", 3, 1)]


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
@pytest.mark.parametrize(
    ("change", "whole", "lost", "what"),
    [
        (lambda d, at: d[:at] + b"\x55" * 512 + d[at + 512 :], 2, 3, "header at byte"),
        (lambda d, at: d[:at] + bytes(1024) + d[at + 1024 :], 2, 3, "behind the end mark"),
        (lambda d, at: d[:at], 2, 0, "without an end mark"),
        (lambda d, at: d[: at + 600], 2, 1, "ends inside of train/ash/2.jpg"),
        (lambda d, at: d[: at + 100], 2, 0, "without an end mark"),
        (lambda d, at: d[:at] + b"x" + d[at:], 2, 4, "header at byte"),
        (lambda d, at: d + d, 6, 6, "behind the end mark"),
        (lambda d, at: d + b"thanks for downloading", 6, 0, "behind the end mark"),
    ],
    ids=["junk", "hole", "member_border", "inside", "header", "insertion", "cat", "trailing"],
)
def test_damaged_tars_are_refused_with_counts(tmp_path, kind, change, whole, lost, what):
    data = fakes.tar_bytes(FILES)
    archive = write(tmp_path, KINDS[kind](change(data, header_offset(data, 2))))
    with pytest.raises(ArchiveDamage) as caught:
        archive.scan()
    message = str(caught.value)
    assert what in message
    assert str(archive.path) in message
    assert f"{whole} files stand whole" in message
    assert f"{lost} files that can be made out" in message
    assert caught.value.num_lost == lost
    assert "\n" not in message


@pytest.mark.parametrize("kind", ["tar.gz", "tar.bz2", "tar.xz"])
def test_cut_and_damaged_streams(tmp_path, kind):
    packed = KINDS[kind](fakes.tar_bytes({f"{n}.jpg": fakes.jpeg(n) for n in range(30)}))
    for data in (packed[: len(packed) * 2 // 3], packed[:-1] if kind != "tar.xz" else packed[:-9]):
        with pytest.raises(SourceError, match="cut off or damaged"):
            write(tmp_path, data).scan()


def test_gzip_with_another_checksum_or_trailing_garbage(tmp_path):
    packed = gzip.compress(fakes.tar_bytes(FILES))
    wrong = packed[:-8] + struct.pack("<I", zlib.crc32(b"")) + packed[-4:]
    for data in (wrong, packed + b"garbage"):
        archive = write(tmp_path, data)
        with pytest.raises(ArchiveDamage, match="the compressed stream breaks off"):
            archive.scan()
        with pytest.raises(ArchiveDamage, match="breaks off"):
            list(archive.read([Entry("train/ash/0.jpg", 300, 512)]))


def test_gzip_of_several_parts_and_zero_padding(tmp_path):
    data = fakes.tar_bytes(FILES)
    packed = gzip.compress(data[:1000]) + gzip.compress(data[1000:]) + bytes(512)
    assert content(write(tmp_path, packed)) == FILES


@needs_gnu_tar
def test_what_gnu_tar_makes_is_read_right(tmp_path):
    """Appended, concatenated, deduplicated by links, deep paths; as the errors advise."""
    folder = tmp_path / "photos" / ("deep" * 30) / "ash"
    folder.mkdir(parents=True)
    for name, data in FILES.items():
        (folder / pathlib.Path(name).name).write_bytes(data)
    (folder / "hard.jpg").hardlink_to(folder / "1.jpg")
    (folder / "soft.jpg").symlink_to("2.jpg")
    expected = {path.name: path.read_bytes() for path in folder.iterdir()}

    def tar(*arguments):
        subprocess.run(["tar", *map(str, arguments)], cwd=tmp_path, check=True)

    for number, flags in enumerate(
        (
            ["--format=gnu"],
            ["--format=posix"],
            ["--format=gnu", "--dereference", "--hard-dereference"],
        )
    ):
        tar("cf", f"{number}.tar", *flags, "photos")
        found = content(open_archive(tmp_path / f"{number}.tar"))
        assert {pathlib.PurePosixPath(name).name: data for name, data in found.items()} == expected
    tar("cf", "a.tar", "-C", folder, "0.jpg", "0.jpg")  # the second is a hard link to itself
    tar("cf", "b.tar", "-C", folder, "1.jpg")
    (tmp_path / "cat.tar").write_bytes(
        (tmp_path / "a.tar").read_bytes() + (tmp_path / "b.tar").read_bytes()
    )
    with pytest.raises(SourceError, match="tar --concatenate joins rightly"):
        open_archive(tmp_path / "cat.tar").scan()
    tar("--concatenate", "-f", "a.tar", "b.tar")
    joined = open_archive(tmp_path / "a.tar")
    assert content(joined) == {"0.jpg": expected["0.jpg"], "1.jpg": expected["1.jpg"]}
    assert reasons(joined) == {"0.jpg": "repeated member"}


def test_links_are_files_of_their_own_name(tmp_path):
    hard, soft = tarfile.LNKTYPE, tarfile.SYMTYPE
    members = [
        ("all/1.jpg", b"one"),
        ("train/ash/h.jpg", hard, "all/1.jpg"),
        ("train/ash/s.jpg", soft, "../../all/2.jpg"),
        ("train/ash/chain.jpg", soft, "s.jpg"),
        ("shortcut", soft, "all"),
        ("train/ash/through.jpg", soft, "../../shortcut/1.jpg"),
        ("train/ash/hard_to_soft.jpg", hard, "train/ash/s.jpg"),
        ("all/2.jpg", b"two"),
    ]
    expected = {
        "all/1.jpg": b"one",
        "all/2.jpg": b"two",
        "train/ash/h.jpg": b"one",
        "train/ash/s.jpg": b"two",
        "train/ash/chain.jpg": b"two",
        "train/ash/through.jpg": b"one",
        "train/ash/hard_to_soft.jpg": b"two",
    }
    for kind in ("tar", "tar.gz"):
        archive = write(tmp_path, KINDS[kind](tar_of(*members)))
        assert content(archive) == expected
        ((skip,)) = archive.scan()[1]
        assert (skip.name, skip.num_files) == ("shortcut", 2)
        assert "folder all with 2 files" in skip.detail


def test_links_that_cannot_be_followed_are_named(tmp_path):
    hard, soft = tarfile.LNKTYPE, tarfile.SYMTYPE
    archive = write(
        tmp_path,
        tar_of(
            ("a/dangling.jpg", soft, "nowhere.jpg"),
            ("a/out.jpg", soft, "../../../home/me/1.jpg"),
            ("a/absolute.jpg", soft, "/home/me/1.jpg"),
            ("a/loop1", soft, "loop2"),
            ("a/loop2", soft, "loop1"),
            ("a/self", soft, "."),
            ("a/early.jpg", hard, "a/1.jpg"),
            ("a/1.jpg", b"one"),
        ),
    )
    assert content(archive) == {"a/1.jpg": b"one"}
    skips = {skip.name: skip for skip in archive.scan()[1]}
    assert set(skips) == {
        "a/dangling.jpg", "a/out.jpg", "a/absolute.jpg", "a/loop1", "a/loop2", "a/self",
        "a/early.jpg",
    }  # fmt: skip
    assert {skip.reason for skip in skips.values()} == {"link that cannot be followed"}
    assert "tar --dereference" in skips["a/absolute.jpg"].detail
    assert "/home/me/1.jpg" in skips["a/absolute.jpg"].detail
    assert "links that lead to each other" in skips["a/loop1"].detail
    assert skips["a/self"].num_files == 0


def test_the_last_of_repeated_members_counts(tmp_path):
    files = [("./a.jpg", b"old"), ("b.jpg", b"b"), ("a.jpg", b"new!")]
    for archive in (
        write(tmp_path, fakes.tar_bytes(files)),
        write(tmp_path, gzip.compress(fakes.tar_bytes(files)), "a.tar.gz"),
        write(tmp_path, zip_of(files), "a.zip"),
    ):
        assert content(archive) == {"b.jpg": b"b", "a.jpg": b"new!"}
        assert reasons(archive) == {"a.jpg": "repeated member"}


def test_a_hard_link_keeps_the_file_that_was_there_when_it_was_made(tmp_path):
    archive = write(tmp_path, tar_of(("a", b"old"), ("link", tarfile.LNKTYPE, "a"), ("a", b"new")))
    assert content(archive) == {"link": b"old", "a": b"new"}


def test_names(tmp_path):
    nfc, nfd = (unicodedata.normalize(form, "Bäume") for form in ("NFC", "NFD"))
    files = {
        "./train//ash/./1.jpg": b"1",
        f"{nfc}/1.jpg": b"2",
        f"{nfd}/1.jpg": b"3",
        "latin\udcfc/1.jpg": b"4",
        "back\\slash.jpg": b"5",
        "x" * 300 + ".jpg": b"6",
        "y" * 90 + "/" + "z" * 90: b"7",
    }
    expected = {"train/ash/1.jpg": b"1", **dict(list(files.items())[1:])}
    for fmt in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        members = [*files.items(), ("folder", tarfile.DIRTYPE, "")]
        archive = write(tmp_path, tar_of(*members, fmt=fmt, pax={"comment": "made by git"}))
        assert content(archive) == expected
        assert archive.scan()[1] == []
    assert entries.printable("latin\udcfc/1\n.jpg") == "latin\\xfc/1\\n.jpg"


def test_unsafe_names_are_refused(tmp_path):
    names = ["/etc/1.jpg", "../1.jpg", "a/../../1.jpg", "a\\..\\..\\1.jpg", "C:\\1.jpg"]
    for archive in (
        write(tmp_path, fakes.tar_bytes(dict.fromkeys(names, b"x"))),
        write(tmp_path, zip_of(dict.fromkeys(names, b"x")), "a.zip"),
    ):
        assert content(archive) == {}
        skips = archive.scan()[1]
        assert len(skips) == 5
        assert {skip.reason for skip in skips} == {"unsafe path"}


def test_what_is_no_file_is_named(tmp_path):
    archive = write(
        tmp_path,
        tar_of(
            ("pipe", tarfile.FIFOTYPE, ""),
            ("device", tarfile.CHRTYPE, ""),
            ("odd", b"?", ""),
            ("a.jpg", b"1"),
        ),
    )
    assert content(archive) == {"a.jpg": b"1"}
    assert reasons(archive) == dict.fromkeys(("pipe", "device", "odd"), "not a regular file")


@needs_gnu_tar
@pytest.mark.parametrize("fmt", ["gnu", "posix"])
def test_sparse_members_are_named(tmp_path, fmt):
    with (tmp_path / "holes.jpg").open("wb") as file:
        for number in range(40):  # more holes than the first header has room for
            file.seek(number * 200_000)
            file.write(b"data")
    (tmp_path / "whole.jpg").write_bytes(b"1")
    command = ["tar", "cSf", "s.tar", f"--format={fmt}", "holes.jpg", "whole.jpg"]
    subprocess.run(command, cwd=tmp_path, check=True)
    archive = open_archive(tmp_path / "s.tar")
    assert content(archive) == {"whole.jpg": b"1"}
    assert reasons(archive) == {"holes.jpg": "sparse file"}


def test_empty_archives(tmp_path):
    for archive in (
        write(tmp_path, fakes.tar_bytes({})),
        write(tmp_path, gzip.compress(fakes.tar_bytes({})), "a.tar.gz"),
        write(tmp_path, zip_of({}), "a.zip"),
    ):
        assert archive.scan() == ([], [])


def test_a_size_that_lies_is_not_allocated(tmp_path):
    info = tarfile.TarInfo("a.jpg")
    info.size = 1 << 29
    data = info.tobuf() + b"few bytes".ljust(512, b"\0")
    for kind in ("tar", "tar.gz"):
        archive = write(tmp_path, KINDS[kind](data))
        with pytest.raises(ArchiveDamage, match=r"ends inside of a.jpg, which has 536870912 bytes"):
            archive.scan()
        with pytest.raises(SourceError, match=r"ends inside of a.jpg"):
            list(archive.read([Entry("a.jpg", 1 << 29, 512)]))


def test_too_large_files_are_named(tmp_path):
    for archive in (
        write(tmp_path, fakes.tar_bytes({"a": b"12345", "b": b"6"})),
        write(tmp_path, zip_of({"a": b"12345", "b": b"6"}), "a.zip"),
    ):
        found, skips = archive.scan(max_file_bytes=4)
        assert [entry.name for entry in found] == ["b"]
        assert [(skip.name, skip.reason) for skip in skips] == [("a", "file too large")]
    assert archives.MAX_FILE_BYTES == 2**30


def test_pax_headers(tmp_path):
    """A size in a PAX header counts; a damaged one, or a global path, is refused."""
    plain = tar_of(("é" * 80 + ".jpg", b"12345"), ("b.jpg", b"6"), fmt=tarfile.PAX_FORMAT)
    assert b"path=" in plain
    assert content(write(tmp_path, plain)) == {"é" * 80 + ".jpg": b"12345", "b.jpg": b"6"}
    with pytest.raises(ArchiveDamage, match="PAX header at byte 512 is damaged"):
        write(tmp_path, plain.replace(b" path=", b" path ")).scan()
    everywhere = tar_of(("b.jpg", b"6"), fmt=tarfile.PAX_FORMAT, pax={"path": "same"})
    with pytest.raises(ArchiveDamage, match="global PAX header sets"):
        write(tmp_path, everywhere).scan()


def test_one_pass_through_a_stream(tmp_path):
    members = [
        ("a", b"one"),
        ("b", tarfile.LNKTYPE, "a"),
        ("../c", b"x"),
        ("a", b"two"),
        ("d", b"no"),
    ]
    archive = write(tmp_path, gzip.compress(tar_of(*members)))
    items = list(archive.stream(lambda name: name != "d"))
    assert [(entry.name, data) for entry, data in items[:1] + items[3:]] == [
        ("a", b"one"),
        ("a", b"two"),
        ("d", None),
    ]
    assert [(skip.name, skip.reason) for skip in items[1:3]] == [
        ("b", "link that cannot be followed"),
        ("../c", "unsafe path"),
    ]
    assert list(archive.names()) == ["a", "a", "d"]


class TestZips:
    """What only a zip can hold."""

    def test_a_member_that_differs_from_its_checksum(self, tmp_path):
        data = bytearray(zip_of(method=zipfile.ZIP_STORED))
        data[data.index(FILES["train/ash/2.jpg"]) + 5] ^= 1
        archive = write(tmp_path, bytes(data), "a.zip")
        entries_found, _ = archive.scan()
        assert len(list(archive.read(entries_found[:2]))) == 2
        with pytest.raises(ArchiveDamage, match=r"train/ash/2.jpg is damaged \(Bad CRC"):
            list(archive.read(entries_found))

    def test_cut_off(self, tmp_path):
        data = zip_of()
        with pytest.raises(ArchiveDamage, match=r"directory cannot be read.*6 files that can be"):
            write(tmp_path, data[:-30], "a.zip").scan()
        with pytest.raises(ArchiveDamage, match=r"directory cannot be read.*3 files that can be"):
            write(tmp_path, data[: len(data) // 4], "a.zip").scan()

    def test_fewer_members_than_told(self, tmp_path):
        data = bytearray(zip_of())
        end = data.rindex(b"PK\5\6")
        struct.pack_into("<HH", data, end + 8, 7, 7)
        with pytest.raises(ArchiveDamage, match="has 6 members, not 7"):
            write(tmp_path, bytes(data), "a.zip").scan()

    def test_a_directory_that_was_wiped(self, tmp_path):
        data = zip_of()
        wiped = data[: data.rindex(b"PK\5\6") + 4] + bytes(18)
        with pytest.raises(ArchiveDamage, match=r"directory is empty; 6 files that can be"):
            write(tmp_path, wiped, "a.zip").scan()

    def test_encrypted_and_unsupported_members(self, tmp_path):
        data = bytearray(zip_of({"a.jpg": b"1", "b.jpg": b"2", "c.jpg": b"3"}))
        first = data.index(b"PK\1\2")
        second = data.index(b"PK\1\2", first + 1)
        data[first + 8] |= 1  # encrypted
        struct.pack_into("<H", data, second + 10, 93)  # method
        archive = write(tmp_path, bytes(data), "a.zip")
        assert content(archive) == {"c.jpg": b"3"}
        assert reasons(archive) == {
            "a.jpg": "encrypted member",
            "b.jpg": "compression that is not supported",
        }
        assert "Zstandard" in archive.scan()[1][1].detail

    def test_a_bomb_is_read_no_further_than_told(self, tmp_path):
        data = bytearray(zip_of({"a.jpg": bytes(50 << 20)}))
        struct.pack_into("<I", data, data.index(b"PK\1\2") + 24, 100)
        archive = write(tmp_path, bytes(data), "a.zip")
        (entry,), _ = archive.scan()
        assert entry.size == 100
        tracemalloc.start()
        with pytest.raises(SourceError, match=r"a.jpg is damaged"):
            list(archive.read([entry]))
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
        tracemalloc.stop()

    def test_members_that_overlap(self, tmp_path):
        data = bytearray(zip_of(method=zipfile.ZIP_STORED))
        struct.pack_into("<II", data, data.index(b"PK\1\2") + 20, 1500, 1500)
        with pytest.raises(ArchiveDamage, match="where others are"):
            write(tmp_path, bytes(data), "a.zip").scan()

    def test_links_folders_and_devices(self, tmp_path):
        modes = {"soft": stat.S_IFLNK, "pipe": stat.S_IFIFO, "1.jpg": stat.S_IFREG}

        def change(info):
            info.create_system = 3
            info.external_attr = (modes.get(info.filename.split("/")[-1], 0) | 0o644) << 16

        files = {"a/": b"", "a/1.jpg": b"one", "b/soft": b"../a/1.jpg", "a/pipe": b""}
        archive = write(tmp_path, zip_of(files, change=change), "a.zip")
        assert content(archive) == {"a/1.jpg": b"one", "b/soft": b"one"}
        assert reasons(archive) == {"a/pipe": "not a regular file"}

    def test_names_of_other_systems(self, tmp_path):
        class Unmarked(zipfile.ZipInfo):
            """A member whose name is written as it is, without the mark of UTF-8."""

            def _encodeFilenameFlags(self):
                return self.comment, 0

        def member(name: bytes, system: int) -> zipfile.ZipInfo:
            info = Unmarked(name.decode("cp437"))
            info.create_system, info.comment = system, name
            return info

        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(member("Bäume/1.jpg".encode(), 3), b"macOS, without the mark")
            archive.writestr(member(b"B\x84ume/2.jpg", 0), b"code page 437")
            archive.writestr(member(b"B\xe4ume/3.jpg", 3), b"Latin-1 on Unix")
            archive.writestr(member(b"oak\\4.jpg", 0), b"backslashes")
            archive.writestr("Bäume/5.jpg", b"marked UTF-8")
        assert set(content(write(tmp_path, stream.getvalue(), "a.zip"))) == {
            "Bäume/1.jpg", "Bäume/2.jpg", "B\udce4ume/3.jpg", "oak/4.jpg", "Bäume/5.jpg",
        }  # fmt: skip

    def test_behind_a_program_that_unpacks_it(self, tmp_path):
        archive = write(tmp_path, b"MZ" + bytes(1000) + zip_of(), "setup.exe")
        assert (archive.kind, content(archive)) == ("zip", FILES)

    def test_zip64(self, tmp_path):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, data in FILES.items():
                with archive.open(name, "w", force_zip64=True) as file:
                    file.write(data)
        assert content(write(tmp_path, stream.getvalue(), "a.zip")) == FILES

    def test_the_newer_count_of_members(self, tmp_path, monkeypatch):
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)  # so that zip64's end is written
        data = bytearray(zip_of())
        assert content(write(tmp_path, bytes(data), "a.zip")) == FILES
        struct.pack_into("<QQ", data, data.index(b"PK\6\6") + 24, 8, 8)
        with pytest.raises(ArchiveDamage, match="has 6 members, not 8"):
            write(tmp_path, bytes(data), "a.zip").scan()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html>\n<html>", r"an HTML page.*the download went wrong"),
        (b'<?xml version="1.0"?><Error>', "an XML page"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(600), "a 7z archive.*unpack it and give the folder"),
        (b"Rar!\x1a\x07\x00" + bytes(600), "a RAR archive"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "a Zstandard file"),
        (fakes.jpeg(1), "a JPEG image"),
        (gzip.compress(b"hello", mtime=0), "a gz file that holds no tar, but a text"),
        (gzip.compress(b"", mtime=0), "a gz file that holds no tar, but an empty file"),
        (gzip.compress(fakes.jpeg(1), mtime=0), "a gz file that holds no tar, but a JPEG image"),
        (gzip.compress(bytes(10_000), mtime=0)[:12], "cut off or damaged at its beginning"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"name,label\n", "a text"),
        (b"\x01\x02\x03" * 300, r"of an unknown kind \(it begins with 01 02 03"),
        (
            b"\x55" * 512 + fakes.tar_bytes(FILES)[512:],
            "a tar that is damaged at its beginning; 5 files",
        ),
        (b"\x55" * 4 + zip_of()[4:-30] + bytes(22), "a zip that is damaged; 5 files"),
    ],
)
def test_what_is_no_archive_is_told(tmp_path, data, what):
    path = tmp_path / "photos.tar"
    path.write_bytes(data)
    assert not archives.is_archive(path)
    with pytest.raises(SourceError, match=what) as caught:
        open_archive(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_folders_and_missing_files_are_told(tmp_path):
    with pytest.raises(SourceError, match="is a folder; an archive is expected"):
        open_archive(tmp_path)
    with pytest.raises(SourceError, match=r"no file .*nothing.tar"):
        open_archive(tmp_path / "nothing.tar")


def test_identity_tells_another_content(tmp_path):
    archive = write(tmp_path, fakes.tar_bytes(FILES))
    before = archive.identity()
    assert (before["name"], before["num_bytes"]) == ("photos.tar", archive.path.stat().st_size)
    status = archive.path.stat()
    os.utime(archive.path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert archive.identity() != before


def test_no_other_reader_of_tars_in_this_package():
    """Python's own takes a damaged header for the end."""
    folder = pathlib.Path(tars.__file__).parent
    sources = {path.name: path.read_text("utf-8") for path in folder.glob("*.py")}
    assert [name for name, source in sources.items() if "tarfile.open(" in source] == []
