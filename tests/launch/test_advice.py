"""Flags and fields that the docs and the errors name exist, for the card and program at hand."""

from __future__ import annotations

import ast
import importlib.util
import pathlib
import re
from collections.abc import Iterator

import pytest

from fine2coarse.recipes.card_fields import add_field
from fine2coarse.schema import RecipeError

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PAGES = (_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md")))
_SOURCES = (
    *sorted((_ROOT / "fine2coarse").rglob("*.py")),
    *sorted((_ROOT / "launch").glob("*.py")),
)
_RECORDS = "dataset|target|arms|pretrain|transfer|backbone|start|evaluation|transfer_dataset"
_FIELD = re.compile(r"--(?:no)?config\.([a-z_][\w.]*)")
_CARD = re.compile(r"configs/(\w+)\.py(?::([^\s`\"')]+))?")
_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z_0-9]*)(?![\w.-])")
_PROGRAM = re.compile(r"launch/(\w+)\.py")
# Where no card is named beside a field.
_ANY_CARD = [
    ("folder", None),
    ("demo", None),
    ("labels", "clusters"),
    ("imagenet21k_mini", "../shared/data"),
]
_COMMON = ("program", "config_flag", "named_dataset", "path_flags")
# Flags of other programs, and those of absl that docs may name.
_FOREIGN = {
    "help", "flagfile", "concatenate", "dereference", "sparse", "porcelain", "logdir",
    "flink_master",
}  # fmt: skip
_GCLOUD = "tpu_job.py"


def commands(text: str) -> list[str]:
    """Lines of a page, those that a backslash continues joined."""
    return re.sub(r"\\\n\s*", " ", text).splitlines()


def strings(path: pathlib.Path) -> Iterator[str]:
    """What a source file may say, f-strings joined; docstrings too, which programs show."""
    tree = ast.parse(path.read_text("utf-8"))
    inner = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner |= {id(value) for value in node.values}
            yield "".join(str(getattr(value, "value", "…")) if isinstance(value, ast.Constant)
                          else "…" for value in node.values)  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield from commands(node.value)


def card_of(stem: str, argument: str | None):
    spec = importlib.util.spec_from_file_location(f"card_{stem}", _ROOT / "configs" / f"{stem}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*([argument] if argument else []))


def check_fields(line: str, where: str) -> int:
    """Checks the fields that a line names; how many there are."""
    names = [name.rstrip(".") for name in _FIELD.findall(line)]
    cards = _CARD.findall(line) or _ANY_CARD
    for name in names:
        faults = []
        for stem, argument in cards:
            try:
                add_field(card_of(stem, argument), name.split("."))
            except (RecipeError, ValueError, TypeError) as error:
                faults.append(str(error))
        assert len(faults) < len(cards), f"{where}: --config.{name}: {faults}"
    return len(names)


def flags_of(program: str) -> set[str]:
    """Names of all flags of a launcher."""
    found = set()
    for path in (
        _ROOT / "launch" / f"{program}.py",
        *(_ROOT / "fine2coarse" / "cli" / f"{stem}.py" for stem in _COMMON),
    ):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and re.search(r"(?i)define_\w+$", ast.unparse(node.func)):
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant):
                    found.add(first.value)
    return found | {"config"} | _FOREIGN


def unknown_flags(text: str, known: set[str]) -> set[str]:
    """Flags in a text that are not known, `--noname` being `--name`."""
    return {name for name in _FLAG.findall(text) if not {name, name.removeprefix("no")} & known}


PROGRAMS = {path.stem: flags_of(path.stem) for path in (_ROOT / "launch").glob("[a-z]*.py")}
ALL_FLAGS = set().union(*PROGRAMS.values())


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_fields_that_a_page_names(page):
    for line in commands(page.read_text("utf-8")):
        check_fields(line, page.name)


def test_fields_that_the_source_names():
    count = sum(check_fields(text, path.name) for path in _SOURCES for text in strings(path))
    assert count > 5  # they are found


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_flags_of_the_commands_on_a_page(page):
    for line in commands(page.read_text("utf-8")):
        programs = set(_PROGRAM.findall(line)) & set(PROGRAMS)
        if line.lstrip().startswith("python launch/") and programs:
            known = set().union(*(PROGRAMS[program] for program in programs))
            assert not unknown_flags(line, known), f"{page.name}: {line.strip()}"


def test_flags_that_the_source_names():
    for path in _SOURCES:
        if path.name != _GCLOUD:
            for text in strings(path):
                assert not unknown_flags(text, ALL_FLAGS), f"{path.name}: {text}"


def test_fields_that_errors_of_the_recipe_name():
    count = 0
    pattern = re.compile(rf"(?<![\w./])((?:{_RECORDS})\.[a-z_]+(?:\.[a-z_]+)*)\b(?!\()")
    folders = (_ROOT / "fine2coarse" / name for name in ("recipes", "studies"))
    for path in (path for folder in folders for path in folder.glob("*.py")):
        for text in strings(path):
            for name in pattern.findall(text):
                if name.endswith((".py", ".json", ".csv", ".npz", ".h5")):
                    continue
                add_field(card_of("demo", None), name.split("."))
                count += 1
    assert count > 5


def test_the_checks_find_what_is_wrong():
    with pytest.raises(AssertionError, match="total_step"):
        check_fields(
            "python launch/study.py --config=configs/demo.py --config.pretrain.total_step=1", "x"
        )
    assert "pca" in PROGRAMS["embed"] and "pca" not in PROGRAMS["study"]
