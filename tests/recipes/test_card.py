"""Every field of the recipe can be added to every card, for a flag to set it."""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
import typing

import pytest
from ml_collections import ConfigDict

from fine2coarse.errors import RecipeError
from fine2coarse.labels.spec import SOURCES
from fine2coarse.recipes.card import add_field, fields_of, recipe_card
from fine2coarse.recipes.dataset_options import option_types
from fine2coarse.recipes.phase_spec import OptimizerSpec, PhaseSpec
from fine2coarse.recipes.recipe import EvaluationSpec, Recipe

_CARDS = pathlib.Path(__file__).resolve().parents[2] / "configs"
_ARGUMENT = {"imagenet21k_mini": "data"}  # the card that needs one


def card(stem: str, *argument: str) -> ConfigDict:
    spec = importlib.util.spec_from_file_location(f"card_{stem}", _CARDS / f"{stem}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    argument = argument or ((_ARGUMENT[stem],) if stem in _ARGUMENT else ())
    return module.get_config(*argument)


def names_of(cls: type, arm: str) -> list[str]:
    """Dotted names of all fields of a recipe, and of all options of datasets and labels."""
    found = []
    of_sources = {field.name for record in SOURCES.values() for field in dataclasses.fields(record)}
    of_sources = [f"{name}.source" if name in ("base", "like") else name for name in of_sources]
    for name, hint in typing.get_type_hints(cls).items():
        kinds = [kind for kind in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(kind)]
        if name == "arms":
            name = f"arms.{arm}"
        elif name == "transfer_choices":
            name = "transfer_choices.mine"
        inner = names_of(kinds[0], arm) if kinds else [""]
        if name == "options":
            inner = sorted(option_types())
        if name in ("target", "label"):
            inner = ["source", *(f"options.{option}" for option in of_sources)]
        prefix = "" if name == "label" else f"{name}."  # an arm's own keys
        found += [f"{prefix}{field}".rstrip(".") for field in inner]
    return found


@pytest.mark.parametrize("stem", sorted({p.stem for p in _CARDS.glob("*.py")} - {"labels"}))
def test_every_field_of_every_card(stem):
    config = card(stem)
    before = Recipe.from_config(config)
    names = names_of(Recipe, next(iter(config.arms)))
    assert {"pretrain.optimizer.ema_decay", "dataset.options.flat", "evaluation.split"} < set(names)
    for name in names:
        add_field(config, name.split("."))
    config = card(stem)
    for name in ("pretrain.optimizer.max_gradient_norm", "backbone.dropout_rate"):
        add_field(config, name.split("."))
    config.pretrain.optimizer.max_gradient_norm = 0.5
    config.backbone.dropout_rate = 0.0
    after = Recipe.from_config(config)
    assert after.pretrain.optimizer.max_gradient_norm == 0.5
    optimizer = dataclasses.replace(before.pretrain.optimizer, max_gradient_norm=0.5)
    pretrain = dataclasses.replace(before.pretrain, optimizer=optimizer)
    assert after == dataclasses.replace(before, pretrain=pretrain)


def test_a_card_that_needs_a_folder_says_so(monkeypatch):
    monkeypatch.setattr(f"{__name__}._ARGUMENT", {})
    with pytest.raises(ValueError, match=r"expected FOLDER.* after the colon, got ''"):
        card("imagenet21k_mini")  # --config=imagenet21k_mini


def test_a_record_that_the_card_has_not_is_made_by_one_of_its_fields():
    config = card("demo", "smoke")
    assert Recipe.from_config(config).evaluation is None
    for name, value in {"name": "demo", "split": "val"}.items():
        add_field(config, ("evaluation", name))
        config.evaluation[name] = value
    assert Recipe.from_config(config).evaluation == EvaluationSpec("demo", {}, "val")


def test_a_record_that_the_card_sets_to_none_can_be_made():
    config = card("scaling_mlps", "smoke")
    assert config.transfer_dataset is None
    add_field(config, ("transfer_dataset", "name"))
    config.transfer_dataset.name = "demo"
    assert Recipe.from_config(config).transfer_dataset.name == "demo"


def test_types():
    config = card("folder")
    add_field(config, ("dataset", "options", "max_skipped_share"))
    assert config.dataset.options.get_type("max_skipped_share") is float
    add_field(config, ("target", "options", "nodes"))
    assert config.target.options.get_type("nodes") is tuple
    add_field(config, ("pretrain", "optimizer", "warmup_steps"))
    assert config.pretrain.optimizer.warmup_steps == 50  # what the card says stays
    with config.unlocked(), config.ignore_type():
        config.transfer_validation_share = 1
        config.seeds = [4, 5]
    add_field(config, ("transfer_validation_share",))
    add_field(config, ("seeds",))
    assert config.get_type("transfer_validation_share") is float and config.seeds == (4, 5)


def test_a_label_card():
    config = card("labels", "random")
    for name in ("dataset.options.flat", "label.options.like.options.min_images", "sizes"):
        add_field(config, name.split("."))
    add_field(config, ("advise", "num_labelled"))
    with pytest.raises(RecipeError, match="config: unknown field 'pretrain'"):
        add_field(config, ("pretrain", "mixup"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "pretrain.total_step",
            "config.pretrain: unknown field 'total_step'; did you mean 'tot",
        ),
        ("arms.fien.pretrain_steps", "config.arms: unknown field 'fien'; did you mean 'fine'"),
        ("seeds.a", "config.seeds holds no fields, so there is no 'a' in it"),
        ("evaluation.options.sorce", "did you mean 'source'"),
        ("optimizer", "config: unknown field 'optimizer'"),
    ],
)
def test_what_is_no_field(name, message):
    with pytest.raises(RecipeError, match=message):
        add_field(card("demo"), name.split("."))


def test_the_schema_is_that_of_the_records():
    assert set(fields_of(PhaseSpec, ConfigDict(), "")) == {
        field.name for field in dataclasses.fields(PhaseSpec)
    }
    assert fields_of(OptimizerSpec, ConfigDict(), "")["ema_decay"] is float


def test_a_new_card_has_the_schemas_defaults():
    new = recipe_card()
    assert set(new) == {field.name for field in dataclasses.fields(Recipe)}
    assert (new.precision, new.transfer_candidates, new.test_crops) == ("float32", "auto", 0)
    assert new.pretrain.optimizer.momentum == 0.9 and new.start.kind == "scratch"
    assert new.pretrain.total_steps is None and new.pretrain.get_type("total_steps") is int
    assert new.evaluation is None and new.transfer_dataset is None
    with pytest.raises(RecipeError, match="config: missing target, seeds"):
        Recipe.from_config(new)


@pytest.mark.parametrize("stem", sorted({p.stem for p in _CARDS.glob("*.py")} - {"labels"}))
def test_every_card_starts_from_the_defaults(stem):
    assert set(recipe_card()) <= set(card(stem))
    assert set(recipe_card().pretrain.optimizer) <= set(card(stem).pretrain.optimizer)
