"""Packages may import each other in one order only, and importing fine2coarse stays light."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_PACKAGE = _ROOT / "fine2coarse"

# Package → packages of ours that it may import, in the order of their dependence.
_DATA = {"taxonomy", "labels", "recipes", "archives", "preparation", "datasets", "input"}
_MODELS = {"taxonomy", "labels", "recipes", "input", "models", "training", "hub"}
ALLOWED = {
    "taxonomy": set(),
    "labels": {"taxonomy"},
    "recipes": {"labels"},
    "archives": set(),
    "preparation": {"labels", "archives"},
    "datasets": {"taxonomy", "labels", "recipes", "archives", "preparation"},
    "input": {"taxonomy", "labels", "recipes"},
    "packs": {"taxonomy", "recipes", "datasets", "input"},
    "models": {"labels", "recipes"},
    "training": {"taxonomy", "labels", "recipes", "input", "models"},
    "hub": {"models", "input"},
    "runs": _MODELS,
    "export": {*_MODELS, "runs"},
    "embeddings": {*_MODELS, "runs", "archives", "preparation"},
    "prediction": {*_MODELS, "runs", "archives", "preparation"},
    "analysis": {"labels", "recipes", "runs"},
    "studies": {*_DATA, *_MODELS, "packs", "runs", "analysis"},
    "folders": {"recipes", "hub", "runs", "analysis"},
    "theory": {"taxonomy", "labels", "datasets", "input"},
    "report": {"labels", "recipes", "datasets", "runs", "analysis", "theory"},
    "cloud": {"training"},
}
# What may import every package: the programs' common parts and the public API.
_ABOVE_ALL = {"cli"}
_API = ("__init__.py", "__main__.py", "api.py", "sweeps.py")
# The most that one package may hold of the package's lines.
MAX_SHARE = 1 / 6


def imported_modules(source: str) -> set[str]:
    """Full names of all modules that a source text imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def forbidden_imports(package: str, source: str) -> set[str]:
    """Packages that this source imports though its own may not."""
    packages = {name.split(".")[1] for name in imported_modules(source) if is_ours(name)}
    known = set(ALLOWED) | _ABOVE_ALL
    return {p for p in packages if p in known and p != package and p not in ALLOWED[package]}


def is_ours(name: str) -> bool:
    return name.startswith("fine2coarse.")


def test_the_check_finds_a_broken_order():
    assert forbidden_imports("labels", "from fine2coarse.training import loop") == {"training"}
    assert forbidden_imports("input", "def f():\n  import fine2coarse.models.x") == {"models"}
    assert not forbidden_imports("labels", "from fine2coarse.taxonomy import Taxonomy")


def test_what_all_packages_may_import_imports_none():
    for path in set(_PACKAGE.glob("*.py")) - {_PACKAGE / name for name in _API}:
        names = {name for name in imported_modules(path.read_text("utf-8")) if is_ours(name)}
        assert not {name.split(".")[1] for name in names} & {*ALLOWED, *_ABOVE_ALL}, path.name


def test_packages_import_in_order():
    broken = {}
    for path in _PACKAGE.rglob("*.py"):
        package = path.relative_to(_PACKAGE).parts[0]
        if package in ALLOWED and (found := forbidden_imports(package, path.read_text("utf-8"))):
            broken[str(path.relative_to(_ROOT))] = found
    assert not broken


def test_every_package_is_in_the_order():
    packages = {path.parent.name for path in _PACKAGE.glob("*/__init__.py")}
    assert packages == set(ALLOWED) | _ABOVE_ALL


def test_every_package_says_what_it_is_for():
    for path in _PACKAGE.glob("*/__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        for words in ("In: ", "Out: ", "Start"):
            assert words in text, f"{path}: {words!r}"
        first = text[text.index("Start") :].split("`")[1]
        assert (path.parent / first).is_file(), f"{path} names {first}"


def test_no_package_holds_more_than_a_sixth():
    lines = {}
    for path in _PACKAGE.rglob("*.py"):
        package = path.relative_to(_PACKAGE).parts[0]
        lines[package] = lines.get(package, 0) + len(path.read_text("utf-8").splitlines())
    largest = max(lines, key=lines.get)
    assert lines[largest] <= MAX_SHARE * sum(lines.values()), (largest, lines)


def test_the_tests_mirror_the_packages():
    packages = {path.parent.name for path in _PACKAGE.glob("*/__init__.py")} | {"launch", "pages"}
    tested = {path.parent.name for path in (_ROOT / "tests").glob("*/test_*.py")}
    assert tested == packages


def test_programs_alone_know_flags():
    knowing = [
        str(path.relative_to(_ROOT))
        for path in _PACKAGE.rglob("*.py")
        if path.parent.name not in _ABOVE_ALL
        and any(name.startswith("absl.flags") or name == "absl.app" for name in
               imported_modules(path.read_text("utf-8")))
    ]  # fmt: skip
    assert not knowing


def test_importing_the_package_is_light():
    code = "import sys, fine2coarse; print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout.split() == ["False", "False"]


def test_models_are_free_of_tensorflow():
    for path in (_PACKAGE / "models").glob("*.py"):
        assert "tensorflow" not in imported_modules(path.read_text("utf-8")), path.name
