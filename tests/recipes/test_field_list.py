"""The list of a recipe's fields: complete, with a meaning each, and as the schema has them."""

from __future__ import annotations

import ast
import dataclasses
import json

import pytest

from fine2coarse.api import load_config
from fine2coarse.datasets.demo import DemoConfig
from fine2coarse.datasets.folder import DEFAULT_TEST_SHARE, FolderConfig
from fine2coarse.errors import UsageError
from fine2coarse.labels.spec import SOURCES
from fine2coarse.recipes.dataset_options import DATASET_OPTIONS, FolderOptions
from fine2coarse.recipes.field_list import (
    RecipeField,
    as_text,
    find_fields,
    list_fields,
    meanings,
    overview,
)
from fine2coarse.recipes.label_card import LabelCard
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.schema import records_within
from tests.launch.programs import help_of, launch

FIELDS = list_fields(Recipe)
_RECORDS = {*records_within(Recipe), *records_within(LabelCard), *DATASET_OPTIONS.values()}


def named(name: str, goes_with: str = "") -> RecipeField:
    return next(f for f in FIELDS if (f.name, f.goes_with) == (name, goes_with))


@pytest.mark.parametrize("record", sorted(_RECORDS, key=lambda cls: cls.__name__))
def test_every_field_of_every_record_has_a_meaning(record):
    told = meanings(record)
    for field in dataclasses.fields(record):
        assert len(told.get(field.name, "").split()) >= 2, field.name
    assert set(told) == {field.name for field in dataclasses.fields(record)}


@pytest.mark.parametrize("top", [Recipe, LabelCard])
def test_every_field_of_every_record_is_listed(top):
    listed = {(field.name.rpartition(".")[2], field.goes_with) for field in list_fields(top)}
    for record in records_within(top):
        source = next((name for name, cls in SOURCES.items() if cls is record), "")
        own = {field.name for field in dataclasses.fields(record)}
        own -= {"label"} if record.__name__ == "ArmSpec" else set()  # its keys are among the arm's
        assert {(name, source) for name in own} <= listed, record
    for dataset, options in DATASET_OPTIONS.items():
        assert {(field.name, dataset) for field in dataclasses.fields(options)} <= listed


def test_names_defaults_and_types():
    assert named("pretrain.optimizer.learning_rate") == RecipeField(
        "pretrain.optimizer.learning_rate", "float", "0.1", "The peak, after the warmup."
    )
    assert named("arms.NAME.source").default == "required"
    assert named("arms.NAME.options.num_classes", "cut").default == "0"
    assert named("seeds").type == "tuple of int"
    assert named("evaluation").default == "none" and named("evaluation.name").default == "required"
    assert named("arms.NAME.options.like", "random").type == "label source"
    assert named("dataset.storage").is_operational and not named("dataset.name").is_operational
    assert named("dataset.options.source", "folder").default == "required"


def test_a_name_is_one_that_a_flag_sets():
    """The scalar ones with a default are set to that, on a card that may have to add them."""
    values = {
        field.name: field.default if field.type == "str" else ast.literal_eval(field.default)
        for field in FIELDS
        if field.type in ("int", "float", "str", "bool")
        and field.default not in ("none", "required")
        and "NAME" not in field.name
        and not field.goes_with
    }
    assert len(values) > 60
    assert load_config("demo", values).pretrain.optimizer.beta_1 == 0.9


def test_defaults_of_dataset_options_are_their_builders():
    for field in dataclasses.fields(DATASET_OPTIONS["demo"]):
        assert named(f"dataset.options.{field.name}", "demo").default == str(
            getattr(DemoConfig(name="x"), field.name)
        )
    folder = FolderConfig(name="x")
    assert {f.name for f in dataclasses.fields(FolderOptions)} >= {"flat", "max_skipped_share"}
    assert named("dataset.options.flat", "folder").default == str(folder.flat)
    skipped = named("dataset.options.max_skipped_share", "folder")
    assert skipped.default == str(folder.max_skipped_share)
    share = named("dataset.options.test_share", "folder").default
    assert share.split()[0] == str(DEFAULT_TEST_SHARE)


def test_dataset_names_are_those_there_are():
    for place in ("dataset", "transfer_dataset", "evaluation"):
        told = named(f"{place}.name").meaning
        assert told.startswith("The dataset's name: one of 'demo', ")
        assert all(f"'{name}'" in told for name in DATASET_OPTIONS)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("start", ["start", "start.kind", "start.source"]),
        ("--config.start.kind", ["start.kind"]),
        ("arms.fine.pretrain_steps", ["arms.NAME.pretrain_steps"]),
        ('arms["my-arm"].transfer_steps', ["arms.NAME.transfer_steps"]),
        ("SHIFT", [f"{phase}.augment.shift_px" for phase in ("pretrain", "transfer")]),
        ("seeds", ["seeds"]),
    ],
)
def test_finding_a_field(text, names):
    assert [field.name for field in find_fields(FIELDS, text)] == names


@pytest.mark.parametrize(
    ("text", "message"),
    [("lerning_rate", "did you mean 'learning_rate'"), ("", "there are: dataset, target, arms")],
)
def test_a_field_that_there_is_none_of(text, message):
    with pytest.raises(UsageError, match=message):
        find_fields(FIELDS, text)


def test_what_the_terminal_shows():
    assert as_text([named("pretrain.checkpoints_to_keep")]) == (
        "pretrain.checkpoints_to_keep  (int; default 2; operational)\n"
        "    How many of the newest stay; the best stays besides."
    )
    assert len(overview(FIELDS)) == len(dataclasses.fields(Recipe))
    assert max(map(len, as_text(FIELDS).splitlines())) <= 120


def test_the_command():
    shown = launch("fields", "pretrain.optimizer.decay").stdout
    assert shown.startswith("pretrain.optimizer.decay  (str; default cosine)\n    Of the rate")
    rows = json.loads(launch("fields", "--format=json", "--of=label_space").stdout)
    assert {"advise.num_repeats", "sizes"} <= {row["name"] for row in rows}
    assert "What a field holds: fine2coarse fields NAME" in launch("fields").stdout
    wrong = launch("fields", "pretrain", "transfer")
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1
    assert "takes one name, or a part of one; got ['pretrain', 'transfer']" in wrong.stderr


@pytest.mark.parametrize("program", ["fields", "backbones"])
def test_help_imports_nothing_heavy(program):
    assert not help_of(program)[1]


def test_the_command_that_lists_backbones():
    lines = launch("backbones").stdout.splitlines()
    assert lines[0].startswith("name ") and lines[2].startswith("resnet_tiny ")
    rows = json.loads(launch("backbones", "--format=json").stdout)
    assert next(row for row in rows if row["name"] == "resnet18")["num_features"] == 512
