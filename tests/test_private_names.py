"""What is used of other packages without being their public API is listed in BUILD.md, no more."""

from __future__ import annotations

import ast
import pathlib
import re
from collections.abc import Mapping

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]
# Packages of which some modules are internal: below these names nothing is promised.
_INTERNAL = ("keras.src", "keras_hub.src", "tensorflow.python", "tensorflow_datasets.core")
# Public in spite of their names: the last two are what TFDS's guide asks of every builder.
_DOCUMENTED = {"os._exit", "_info", "_split_generators"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def foreign_names(sources: Mapping[str, str]) -> set[tuple[str, str]]:
    """Private names and internal modules of other packages that some sources use.

    Private is what begins with an underscore and is asked of `self` where none of the sources
    defines it, of another object where its own file does not, or of `super()`; and a method that
    none of the sources calls: then another package does.

    Args:
      sources: text by file name.

    Returns:
      (name, file) for each.
    """
    trees = {file: ast.parse(text) for file, text in sources.items()}
    nodes = [(file, node) for file, tree in trees.items() for node in ast.walk(tree)]
    attributes = [(file, node) for file, node in nodes if isinstance(node, ast.Attribute)]
    methods = {
        (member.name, file)
        for file, node in nodes
        if isinstance(node, ast.ClassDef)
        for member in node.body
        if isinstance(member, ast.FunctionDef) and is_private(member.name)
    }
    defined = methods | {(n.target.id, file) for file, n in nodes if is_field(n)}
    defined |= {(n.attr, file) for file, n in attributes if isinstance(n.ctx, ast.Store)}
    defined_anywhere = {name for name, _ in defined}
    used = {node.attr for _, node in attributes if isinstance(node.ctx, ast.Load)}
    found = {method for method in methods if method[0] not in {*used, *_DOCUMENTED}}
    for file, node in attributes:
        owner, one = ast.unparse(node.value), (node.attr, file)
        if owner in ("self", "cls"):
            is_own = node.attr in defined_anywhere
        else:
            is_own = one in defined and owner != "super()"
        if is_private(node.attr) and not is_own and f"{owner}.{node.attr}" not in _DOCUMENTED:
            found.add(one)
    for file, node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {(name, file) for name in names if is_internal(name)}
    return found


def is_field(node: ast.AST) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def is_internal(module: str) -> bool:
    below = any(module.startswith(f"{name}.") for name in _INTERNAL)
    return below or any(is_private(part) for part in module.split("."))


def listed() -> list[tuple[str, str, str]]:
    """The rows of BUILD.md's table: (name, file, what holds it)."""
    text = (_ROOT / "BUILD.md").read_text("utf-8")
    section = text.split("### Private names of other packages")[1].split("\n#")[0]
    return re.findall(r"^\| `(.*?)` \| `(\S+)` \| .+ \| (.+) \|$", section, re.MULTILINE)


def test_build_md_lists_all_that_is_used_and_nothing_else():
    package = _ROOT / "fine2coarse"
    sources = {
        str(path.relative_to(_ROOT)): path.read_text("utf-8") for path in package.rglob("*.py")
    }
    assert foreign_names(sources) == {(name, file) for name, file, _ in listed()}


def test_the_bounds_told_are_those_asked_for():
    asked = (_ROOT / "pyproject.toml").read_text("utf-8")
    for name, _, bound in listed():
        assert bound.startswith("Python 3.11") or f'"{bound.replace(" ", "")}"' in asked, name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rate = optimizer._learning_rate", {"_learning_rate"}),
        ("class A(B):\n def f(self): return self._theirs", {"_theirs"}),
        ("class A(B):\n def f(self): return super()._theirs()", {"_theirs"}),
        ("class A(B):\n def _hook(self): pass", {"_hook"}),
        ("class A:\n def __init__(self): self._own = 1\n def f(self): return self._own", set()),
        ("class A:\n def _own(self): pass\n def f(self): self._own()", set()),
        ("class A:\n _own: int\n def f(self): return self._own", set()),
        ("class A:\n def _own(self): pass\n def f(self, other): other._own()", set()),
        ("import os\nos._exit(1)", set()),
        ("class A(tfds.core.GeneratorBasedBuilder):\n def _info(self): pass", set()),
        ("from keras.src.saving import x", {"keras.src.saving.x"}),
        ("from keras.saving import x", set()),
        ("import tensorflow._api", {"tensorflow._api"}),
    ],
)
def test_what_counts_as_private(text, expected):
    assert {name for name, _ in foreign_names({"a.py": text})} == expected
