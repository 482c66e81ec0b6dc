"""Flags and fields that the docs and the errors name exist, for the card and program at hand."""

from __future__ import annotations

import ast
import importlib.util
import pathlib
import re
from collections.abc import Iterator

import pytest

from fine2coarse.cards import card_names
from fine2coarse.cli.commands import programs
from fine2coarse.cli.completion import flags_of
from fine2coarse.errors import RecipeError
from fine2coarse.recipes.card import add_field
from tests.pages.readers import write_photographs

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PAGES = (_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md")))
_SOURCES = (
    *sorted((_ROOT / "fine2coarse").rglob("*.py")),
    *sorted((_ROOT / "launch").glob("*.py")),
)
_RECORDS = "dataset|target|arms|pretrain|transfer|backbone|start|evaluation|transfer_dataset"
_FIELD = re.compile(r"--(?:no)?config\.([a-z_][\w.]*)")
# By file or, after --config, by name.
_CARD = re.compile(r"(?:configs/|--config=)(?!configs/)(\w+)(?:\.py)?(?::([^\s`\"')]+))?")
_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z_0-9]*)(?![\w.-])")
_PROGRAM = re.compile(r"launch/(\w+)\.py|\bfine2coarse ([a-z][\w-]+)")
# A whole command in a block of code, or the code of a sentence.
_COMMAND = re.compile(r"^\s*(?:python launch/\w+\.py|fine2coarse) .*|`fine2coarse [^`]*`")
# Where no card is named beside a field.
_ANY_CARD = [
    ("folder", None),
    ("demo", None),
    ("labels", "clusters"),
    ("imagenet21k_mini", "../shared/data"),
]
# Flags of other programs, and those of absl that docs may name.
_FOREIGN = {
    "help", "helpfull", "helpshort", "version", "flagfile", "concatenate", "dereference",
    "sparse", "porcelain", "logdir", "flink_master",
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
    cards = [card for card in _CARD.findall(line) if card[0] in card_names()] or _ANY_CARD
    for name in names:
        faults = []
        for stem, argument in cards:
            try:
                add_field(card_of(stem, argument), name.split("."))
            except (RecipeError, ValueError, TypeError) as error:
                faults.append(str(error))
        assert len(faults) < len(cards), f"{where}: --config.{name}: {faults}"
    return len(names)


def unknown_flags(text: str, known: set[str]) -> set[str]:
    """Flags in a text that are not known, `--noname` being `--name`."""
    return {name for name in _FLAG.findall(text) if not {name, name.removeprefix("no")} & known}


def documented(page: str) -> list[str]:
    """The commands of ours on a page."""
    return [found for line in commands(page) for found in _COMMAND.findall(line)]


def programs_of(command: str) -> set[str]:
    """Names of the programs that a command runs."""
    found = (by_file or by_name.replace("-", "_") for by_file, by_name in _PROGRAM.findall(command))
    return {name for name in found if name}


PROGRAMS = {name: {*flags_of(path), "config", *_FOREIGN} for name, path in programs().items()}
ALL_FLAGS = set().union(*PROGRAMS.values())


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_fields_that_a_page_names(page, tmp_path, monkeypatch):
    write_photographs(tmp_path)  # which some commands name
    monkeypatch.chdir(tmp_path)
    for line in commands(page.read_text("utf-8")):
        check_fields(line, page.name)


def test_fields_that_the_source_names():
    count = sum(check_fields(text, path.name) for path in _SOURCES for text in strings(path))
    assert count > 5  # they are found


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_flags_of_the_commands_on_a_page(page):
    for command in documented(page.read_text("utf-8")):
        names = programs_of(command)
        assert names <= {*PROGRAMS, "completion"}, f"{page.name}: {command}"
        known = _FOREIGN.union(*(PROGRAMS.get(name, set()) for name in names))
        assert not unknown_flags(command, known), f"{page.name}: {command}"


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
    with pytest.raises(AssertionError, match="total_step"):
        check_fields("fine2coarse study --config=demo:smoke --config.pretrain.total_step=1", "x")
    page = "Say `fine2coarse stdy --jobs=2`:\n\n  fine2coarse label-space --out=x \\\n --pca=2\n"
    first, second = documented(page)
    assert programs_of(first) == {"stdy"} and programs_of(second) == {"label_space"}
    assert unknown_flags(second, PROGRAMS["label_space"]) == {"pca"}
