"""Launchers are thin: flags and calls into the package."""

from __future__ import annotations

import ast
import pathlib

import pytest

_LAUNCH = pathlib.Path(__file__).resolve().parents[2] / "launch"
MAX_LINES = 60
PROGRAMS = sorted(_LAUNCH.glob("[a-z]*.py"), key=lambda path: path.name)


def lines_of_code(source: str) -> int:
    """Lines of functions: neither blank, comment nor docstring, nor a definition of a flag."""
    tree, count = ast.parse(source), 0
    text = source.splitlines()
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        rows = text[body[0].lineno - 1 : function.end_lineno]
        count += sum(bool(row.strip()) and not row.strip().startswith("#") for row in rows) + 1
    return count


def test_the_count_leaves_out_what_is_no_code():
    source = '"""Doc."""\n_X = 1\ndef f():\n    """Doc."""\n\n    # why\n    return 1\n'
    assert lines_of_code(source) == 2


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_each_is_short(path):
    assert lines_of_code(path.read_text("utf-8")) <= MAX_LINES


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_each_says_in_a_line_what_it_is_for(path):
    first, blank, *_ = ast.get_docstring(ast.parse(path.read_text("utf-8"))).splitlines()
    assert first.endswith(".") and len(first) <= 80 and not blank
