"""The rooms may import each other in one order only, and importing the package stays light."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_PACKAGE = _ROOT / "fine2coarse"

# Room → rooms of ours that it may import.
ALLOWED = {
    "taxonomy": set(),
    "reporting": set(),
    "theory": set(),
    "models": {"labels"},
    "labels": {"taxonomy"},
    "datasets": {"taxonomy", "labels"},
    "data": {"taxonomy", "labels"},
    "hub": {"models", "data"},
    "training": {"taxonomy", "labels", "data", "models"},
    "experiment": {
        "taxonomy",
        "labels",
        "datasets",
        "data",
        "models",
        "training",
        "reporting",
        "hub",
    },
}


def imported_modules(source: str) -> set[str]:
    """Full names of all modules that a source text imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def forbidden_imports(room: str, source: str) -> set[str]:
    """Rooms that this source imports though its room may not."""
    rooms = {name.split(".")[1] for name in imported_modules(source) if is_ours(name)}
    return {r for r in rooms if r in ALLOWED and r != room and r not in ALLOWED[room]}


def is_ours(name: str) -> bool:
    return name.startswith("fine2coarse.")


def test_the_check_finds_a_broken_order():
    assert forbidden_imports("labels", "from fine2coarse.training import loop") == {"training"}
    assert forbidden_imports("data", "def f():\n  import fine2coarse.models.x") == {"models"}
    assert not forbidden_imports("labels", "from fine2coarse.taxonomy import Taxonomy")


def test_what_all_rooms_may_import_imports_no_room():
    for path in _PACKAGE.glob("*.py"):
        assert not any(map(is_ours, imported_modules(path.read_text("utf-8")))), path.name


def test_rooms_import_in_order():
    broken = {}
    for path in _PACKAGE.rglob("*.py"):
        room = path.relative_to(_PACKAGE).parts[0]
        if room in ALLOWED and (found := forbidden_imports(room, path.read_text("utf-8"))):
            broken[str(path.relative_to(_ROOT))] = found
    assert not broken


def test_every_room_is_in_the_order():
    rooms = {path.parent.name for path in _PACKAGE.glob("*/__init__.py")}
    assert rooms == set(ALLOWED)


def test_launchers_alone_know_flags():
    knowing = [
        str(path.relative_to(_ROOT))
        for path in _PACKAGE.rglob("*.py")
        if any(name.startswith("absl.flags") or name == "absl.app" for name in
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
