"""The reference pages of the site: every field, every backbone, every flag, the exit codes."""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
import re

import pytest

from fine2coarse import errors
from fine2coarse.api import list_backbones
from fine2coarse.cli import commands, completion
from fine2coarse.labels.spec import SOURCES
from fine2coarse.recipes.dataset_options import DATASET_OPTIONS
from fine2coarse.recipes.recipe import ArmSpec, Recipe
from fine2coarse.schema import records_within

pytest.importorskip("mkdocs")
_ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site():
    spec = importlib.util.spec_from_file_location("site_pages", _ROOT / "docs" / "site_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(text: str) -> dict[str, list[str]]:
    """First cell, without its code marks → the other cells, of every table in a text."""
    lines = [line.strip("|") for line in text.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line) for line in lines]
    return {first.strip(" `"): [cell.strip() for cell in rest] for first, *rest in cells}


def test_every_field_of_every_record_is_on_the_page(site):
    page = site.fields_page()
    for record in records_within(Recipe):
        source = next((name for name, cls in SOURCES.items() if cls is record), None)
        part = page.split(f"## Label source {source}\n")[1].split("\n## ")[0] if source else page
        names = {name.rpartition(".")[2] for name in rows(part)}
        own = {field.name for field in dataclasses.fields(record)}
        assert own - ({"label"} if record is ArmSpec else set()) <= names, record
    for dataset, options in DATASET_OPTIONS.items():
        part = page.split(f"## Dataset {dataset}\n")[1].split("\n## ")[0]
        assert {f"dataset.options.{field.name}" for field in dataclasses.fields(options)} <= set(
            rows(part)
        )
    assert all(cells[2] for name, cells in rows(page).items() if name not in ("field", "---"))


def test_rows_of_the_page_of_fields(site):
    found = rows(site.fields_page())
    assert found["pretrain.optimizer.learning_rate"] == [
        "float", "`0.1`", "The peak, after the warmup.",
    ]  # fmt: skip
    assert found["seeds"][:2] == ["tuple of int", "*required*"]
    assert found["dataset.storage"][2].endswith("*Operational.*")
    assert "transfer.optimizer.learning_rate" not in found  # "The same under `transfer`."


def test_every_backbone_is_on_the_page(site):
    found = rows(site.backbones_page())
    assert {facts.name for facts in list_backbones()} <= set(found)
    assert found["resnet18"][:4] == ["224", "any", "512", "11.2 M"]


def test_rows_of_a_programs_flags(site):
    path = commands.programs()["levels"]
    flags = {flag["name"]: flag for flag in site.flags_of(path)}
    assert sorted(flags) == completion.flags_of(path)
    assert site._flag_row(flags["format"])[1:3] == ("`table` \\| `json`", "`table`")
    row = site._flag_row({"name": "wait", "type": "bool", "default": True, "required": False,
                          "choices": None, "help": "A | B <C>."})  # fmt: skip
    assert row == ("`--[no]wait`", "on or off", "`on`", "A \\| B &lt;C>.")


@pytest.mark.slow
def test_every_flag_of_every_command_is_on_the_page(site):
    page = site.commands_page()
    for name, path in commands.programs().items():
        part = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        found = {flag.removeprefix("--").removeprefix("[no]") for flag in rows(part)}
        assert set(completion.flags_of(path)) <= found, name
        assert all(cells[2] for flag, cells in rows(part).items() if flag.startswith("--")), name
    theory = page.split("\n## theory\n")[1].split("\n## ")[0]
    assert rows(theory)["--workdir"][:2] == ["path", "*required*"]
    codes = (errors.EXIT_BUG, errors.EXIT_USAGE, errors.EXIT_FAILED, errors.EXIT_TRY_AGAIN)
    assert {"0", *map(str, codes), str(errors.EXIT_BROKEN_PIPE)} <= set(rows(page))


def test_the_glossary_explains_what_it_must():
    text = (_ROOT / "docs" / "glossary.md").read_text("utf-8")
    words = {word for entry in rows(text) for word in re.split(r", | and ", entry)}
    assert {
        "arm", "target", "baseline", "label space", "level", "cut", "direct", "transfer",
        "summed head", "new head", "trial", "phase", "run", "seed", "claim", "easy", "hard images",
        "taxonomy", "leaf", "granularity", "verdict", "fingerprint", "held-out images",
    } <= words  # fmt: skip
    assert max(len(cells[0]) for cells in rows(text).values()) <= 160  # two lines each
    assert "docs/glossary.md" in (_ROOT / "README.md").read_text("utf-8")
