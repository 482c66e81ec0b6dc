"""Text is read and written as UTF-8 wherever the project runs, never as the locale says."""

from __future__ import annotations

import ast
import pathlib

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_FOLDERS = ("fine2coarse", "launch", "configs", "benchmarks")
# Their `open` gives bytes or images unless a mode says otherwise.
_BINARY_OPENERS = {"tarfile", "gzip", "bz2", "lzma", "zipfile", "Image", "os"}
_TEXT_READERS = {"loadtxt", "genfromtxt", "savetxt", "TextIOWrapper"}


def calls_without_encoding(source: str) -> list[int]:
    """Lines of a program's text on which a file or a process is read as the locale says."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if _needs_encoding(call)]


def _needs_encoding(call: ast.Call) -> bool:
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in named:
        return False
    name, owner = _name_of(call.func)
    if name == "open":
        return _opens_text(call, named.get("mode"), owner)
    if name in ("read_text", "write_text"):
        return len(call.args) < (1 if name == "read_text" else 2)
    is_text = [named[key] for key in ("text", "universal_newlines") if key in named]
    if any(isinstance(value, ast.Constant) and value.value is True for value in is_text):
        return True
    return name in _TEXT_READERS


def _opens_text(call: ast.Call, mode: ast.expr | None, owner: str) -> bool:
    """Of open(path, mode), path.open(mode), tarfile.open(path, mode), archive.open(member)."""
    has_path = owner == "" or owner in _BINARY_OPENERS
    given = call.args[has_path : has_path + 1]
    mode = mode or (given[0] if given else None)
    text = mode.value if isinstance(mode, ast.Constant) else None
    if owner in _BINARY_OPENERS:
        return text is not None and "t" in text
    if not has_path and mode is not None and text is None:
        return False  # a member of an archive, not a mode
    return "b" not in (text or "r")


def _name_of(function: ast.expr) -> tuple[str, str]:
    """What is called, and on which name; '' where on none."""
    if isinstance(function, ast.Name):
        return function.id, ""
    if not isinstance(function, ast.Attribute):
        return "", ""
    return function.attr, function.value.id if isinstance(function.value, ast.Name) else "…"


@pytest.mark.parametrize(
    "line",
    [
        "open(p)",
        "open(p, 'w')",
        "path.open('a', newline='')",
        "path.open()",
        "(folder / 'a').open()",
        "gzip.open(p, 'rt')",
        "path.read_text()",
        "path.write_text(text)",
        "subprocess.run(c, text=True)",
        "np.loadtxt(p)",
    ],
)
def test_the_check_finds_a_missing_encoding(line):
    assert calls_without_encoding(line) == [1]


@pytest.mark.parametrize(
    "line",
    [
        "open(p, 'rb')",
        "open(p, encoding='utf-8')",
        "path.open('wb')",
        "gzip.open(p)",
        "tarfile.open(p)",
        "Image.open(p)",
        "archive.open(member)",
        "path.read_text('utf-8')",
        "path.write_text(text, encoding='utf-8')",
        "subprocess.run(c, text=True, encoding='utf-8')",
        "subprocess.run(c)",
    ],
)
def test_the_check_lets_pass_what_names_one(line):
    assert not calls_without_encoding(line)


def test_every_text_names_its_encoding():
    found = {
        str(path.relative_to(_ROOT)): lines
        for folder in _FOLDERS
        for path in sorted((_ROOT / folder).rglob("*.py"))
        if (lines := calls_without_encoding(path.read_text("utf-8")))
    }
    assert not found
