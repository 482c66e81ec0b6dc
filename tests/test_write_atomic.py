"""A file is there whole or as it was before; and nobody writes one in another way."""

from __future__ import annotations

import ast
import errno
import json
import os
import pathlib
import stat
import subprocess
import sys

import pytest

from fine2coarse import files

_ROOT = pathlib.Path(__file__).resolve().parents[1]
# Where something is renamed besides: file → why.
_RENAMES = {
    "fine2coarse/files.py": "the one way",
    "fine2coarse/preparation/engine.py": "a folder of a killed preparation is taken back",
    "fine2coarse/datasets/leveled.py": "a whole folder of shards takes its place",
    "fine2coarse/studies/mirror.py": "in buckets, by TensorFlow's own file system",
}


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("é→\n", "é→\n".encode()),
        ("line\r\n", b"line\r\n"),
        (b"\x00\xff", b"\x00\xff"),
        (memoryview(b"view"), b"view"),
        (lambda file: file.write(b"by a function"), b"by a function"),
        ("\udcff", rb"\udcff"),  # a name of a file that is not UTF-8
    ],
)
def test_what_is_written_is_there_and_nothing_else(tmp_path, content, expected):
    path = tmp_path / "a.b.csv"
    path.write_bytes(b"before, and longer than what follows")
    files.write_atomic(path, content)
    assert path.read_bytes() == expected
    assert names(tmp_path) == ["a.b.csv"]
    files.write_atomic(os.fspath(tmp_path / "text"), content)
    assert (tmp_path / "text").read_bytes() == expected


def test_json_is_read_as_it_was_written(tmp_path):
    value = {"name": "é\udcff", "list": [1, 2.5, None]}
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_what_fails_on_the_way_leaves_the_old_file_and_no_part_of_the_new_one(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def half(file):
        file.write(b"half")
        raise error

    with pytest.raises(error):
        files.write_atomic(path, half)
    assert path.read_bytes() == b"old" and names(tmp_path) == ["a.json"]
    with pytest.raises(TypeError):
        files.write_json(path, {"not": object()})
    assert path.read_bytes() == b"old" and names(tmp_path) == ["a.json"]


def test_a_writer_gets_a_hidden_name_with_the_files_endings(tmp_path):
    with files.replacing(tmp_path / "model.weights.h5") as partial:
        assert partial.name.endswith(".weights.h5") and partial.parent == tmp_path
        assert files.is_partial(partial.name)
        partial.write_bytes(b"weights")
        assert names(tmp_path) == [partial.name]
    assert names(tmp_path) == ["model.weights.h5"]


def test_a_folder_takes_its_place_or_is_removed(tmp_path):
    with files.replacing(tmp_path / "folder") as partial:
        partial.mkdir()
        (partial / "a").touch()
    assert names(tmp_path) == ["folder"] and names(tmp_path / "folder") == ["a"]
    with pytest.raises(ValueError), files.replacing(tmp_path / "other") as partial:
        partial.mkdir()
        (partial / "a").touch()
        raise ValueError
    assert names(tmp_path) == ["folder"]


def test_a_path_of_another_kind_stays_one(tmp_path):
    epath = pytest.importorskip("etils.epath")
    with files.replacing(epath.Path(tmp_path) / "a.tfrecord-00000-of-00002") as partial:
        assert isinstance(partial, epath.Path)
        partial.write_text("x")
    assert names(tmp_path) == ["a.tfrecord-00000-of-00002"]


def test_the_bytes_are_on_the_disk_before_the_name_changes(tmp_path, monkeypatch):
    done = []

    def fsync(descriptor):
        path = pathlib.Path(f"/proc/self/fd/{descriptor}").readlink()
        done.append((path.name, (tmp_path / "a").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    files.write_atomic(tmp_path / "a", "text")
    (file, was_there), (folder, is_there) = done
    assert files.is_partial(file) and not was_there
    assert folder == tmp_path.name and is_there


def test_permissions_are_those_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        (tmp_path / "plain").write_text("", encoding="utf-8")
        files.write_atomic(tmp_path / "ours", "")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "ours")]
    assert modes == [0o640, 0o640]


def test_leftovers_are_known_by_their_names_and_removed(tmp_path):
    for name in ("a.json", ".hidden", "b.tmp", files.partial_name("a.json")):
        (tmp_path / name).touch()
    assert [name for name in names(tmp_path) if files.is_partial(name)] == names(tmp_path)[:1]
    files.remove_partial(tmp_path)
    assert names(tmp_path) == [".hidden", "a.json", "b.tmp"]


def test_two_processes_that_write_one_file_leave_it_whole(tmp_path):
    code = (
        "import sys; from fine2coarse.files import write_json\n"
        "for i in range(100): write_json(sys.argv[1], [int(sys.argv[2])] * 2000)"
    )
    path = tmp_path / "a.json"
    files.write_json(path, [0] * 2000)
    writers = [
        subprocess.Popen([sys.executable, "-c", code, path, str(number)], cwd=_ROOT)
        for number in (1, 2)
    ]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        value = json.loads(path.read_text("utf-8"))
        assert len(value) == 2000 and len(set(value)) == 1
        seen.add(value[0])
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen & {1, 2} and names(tmp_path) == ["a.json"]


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    code = (
        "import os, signal, sys; from fine2coarse.files import write_atomic\n"
        "def half(file):\n"
        "  file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomic(sys.argv[1], half)"
    )
    path = tmp_path / "a.json"
    path.write_text("old", encoding="utf-8")
    assert subprocess.run([sys.executable, "-c", code, path], cwd=_ROOT).returncode == -9
    assert path.read_text("utf-8") == "old"
    files.remove_partial(tmp_path)
    assert names(tmp_path) == ["a.json"]


def renames(source: str) -> list[int]:
    """Lines of a source text that rename a file: `replace` of one argument, `rename`, `move`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = getattr(node.func.value, "id", "")
        if node.func.attr == "replace":
            is_of_path = len(node.args) == 1 and not node.keywords and owner != "dataclasses"
        else:
            is_of_path = node.func.attr in ("rename", "renames") or (owner, node.func.attr) in (
                ("shutil", "move"),
            )
        if is_of_path or (owner, node.func.attr) == ("os", "replace"):
            found.append(node.lineno)
    return found


def test_the_search_for_renames_finds_them():
    assert renames("a.replace(b)\nos.replace(a, b)\nshutil.move(a, b)\na.rename(b)") == [1, 2, 3, 4]
    assert not renames("text.replace(a, b)\ndataclasses.replace(a, x=1)\ndataclasses.replace(a)")


def test_no_other_module_renames_what_it_wrote():
    found = {
        path.relative_to(_ROOT).as_posix()
        for folder in ("fine2coarse", "launch")
        for path in (_ROOT / folder).rglob("*.py")
        if renames(path.read_text("utf-8"))
    }
    assert found == set(_RENAMES)


def test_what_the_disk_does_not_take_is_an_error(tmp_path, monkeypatch):
    """Some file systems tell only at fsync that the disk is full."""
    path = tmp_path / "x.json"
    files.write_json(path, {"old": 1})

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_json(path, {"new": 2})
    assert files.read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_that_cannot_flush_is_no_error(tmp_path, monkeypatch):
    def cannot(handle: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", cannot)
    files.write_json(tmp_path / "x.json", {"new": 2})
    assert files.read_json(tmp_path / "x.json") == {"new": 2}
