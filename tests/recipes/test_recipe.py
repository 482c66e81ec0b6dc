"""Recipes: strict keys and types, the baseline's fair share."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest

from fine2coarse.errors import RecipeError
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.seeds import stream_seed

_CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"


def config(name: str, *arguments: str):
    spec = importlib.util.spec_from_file_location(name, _CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*arguments)


def demo(**changes) -> dict:
    return {**config("demo").to_dict(), **changes}


@pytest.mark.parametrize("name", ["demo", "folder"])
def test_configs_parse_and_are_locked(name):
    loaded = config(name)
    assert loaded.is_locked
    assert Recipe.from_config(loaded).seeds == (0, 1, 2)


_CARDS = [
    ("paper_inat2021", ("resnet34", "resnet50", "smoke")),
    ("paper_imagenet21k", ("full", "smoke")),
    ("scaling_mlps", ("B_12-Wi_1024", "B_6-Wi_512", "smoke")),
]


@pytest.mark.parametrize(
    ("name", "forms"), [*_CARDS, ("demo", ("full", "smoke")), ("folder", ("a,b@b",))]
)
def test_a_starting_point_can_be_set_by_a_flag(name, forms):
    for form in forms:
        loaded = config(name, form)
        assert loaded.is_locked  # as for a flag, what is set must be there
        loaded.start.kind, loaded.start.source = "preset", "resnet_18_imagenet"
        assert Recipe.from_config(loaded).start.kind == "preset"


@pytest.mark.parametrize(("name", "forms"), _CARDS)
def test_the_papers_recipes_parse(name, forms):
    for form in forms:
        assert Recipe.from_config(config(name, form)).arms


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transfer_choices": {"a": {"head": "old"}}}, "transfer_head is one of"),
        ({"transfer_choices": {"a/b": {}}}, "'a/b' is no name"),
        ({"transfer_choices": {"direct": {"head": "new"}}}, "'direct' stands for head='summed'"),
        ({"transfer_choices": {"a": {"head": "auto"}}}, "names its head and mode"),
        ({"transfer_choices": {"a": {"learning_rate_factor": float("nan")}}}, "must be positive"),
        ({"transfer_choices": {"a": {"learning_rate_factor": 0}}}, "must be positive"),
        ({"transfer_choices": {"a": {}}, "transfer_mode": "none"}, "leave out one or the other"),
        ({"transfer_head": "new", "transfer_mode": "none"}, "a new head knows nothing"),
        ({"transfer_candidates": "on"}, "transfer_candidates is one of"),
        ({"transfer_validation_share": 0.0}, "above 0 and below 1"),
        ({"transfer_mode": "linear_probe", "test_crops": 2}, "sees central crops alone"),
        ({"test_crops": -1}, "test_crops=-1"),
        ({"start": {"kind": "run"}}, "does not go with source"),
        ({"start": {"kind": "url", "source": "x"}}, "start.kind is one of"),
        ({"dataset": {"name": "demo", "storage": "cloud"}}, "dataset.storage is one of"),
        ({"dataset": {"name": "demo", "train_fraction": 0.0}}, "above 0 and at most 1"),
        (
            {"arms": {"a": {"source": "per_image", "transfer_steps": 2}}},
            "arm 'a': transfer.optimizer.warmup_steps=5 of 2 steps",
        ),
        ({"arms": {"a": {"source": "per_image", "pretrain_steps": -2}}}, "must not be negative"),
    ],
)
def test_mistakes_of_the_engine_are_named(changes, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.from_config(demo(**changes))


def test_baseline_sees_as_many_images_as_the_other_arms():
    recipe = Recipe.from_config(demo())
    both = recipe.pretrain.total_steps + recipe.transfer.total_steps
    assert recipe.baseline_phase.total_steps == both


@pytest.mark.parametrize(
    ("changes", "tries"),
    [
        ({}, True),
        ({"transfer_candidates": "off"}, False),
        ({"transfer_mode": "linear_probe"}, False),
        ({"transfer_head": "new"}, False),
    ],
)
def test_a_named_transfer_is_the_only_one(changes, tries):
    recipe = Recipe.from_config(demo(**changes))
    assert recipe.tries_candidates == tries
    assert recipe.held_out_share == (0.1 if tries else 0.0)
    assert ("transfer_validation_share" in recipe.defining()) == tries


def test_baseline_counts_images_where_batches_differ():
    changed = demo()
    changed["transfer"]["batch_size"] = 32
    recipe = Recipe.from_config(changed)
    assert recipe.baseline_phase.total_steps == 200 + 40 // 2
    changed["transfer"]["total_steps"] = 39
    with pytest.raises(RecipeError, match="no multiple"):
        Recipe.from_config(changed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pretrian": {}}, "config: unknown key 'pretrian'; did you mean 'pretrain'"),
        ({"pretrain": {"batch_size": 4}}, "config.pretrain: missing total_steps"),
        ({"pretrain": {"total_steps": "9", "batch_size": 4}}, "expected int, got '9'"),
        ({"seeds": (0, 0)}, "seeds must be distinct"),
        ({"transfer_mode": "probe"}, "linear_probe"),
        ({"arms": {"baseline": {"source": "per_image"}}}, "always there"),
        ({"arms": {"../x": {"source": "per_image"}}}, "hold /"),
        ({"backbone": {"name": "resnet_tin", "image_size_px": 32}}, "did you mean 'resnet_tiny'"),
        ({"dataset": {"name": "demo", "options": 3}}, "expected keys and values"),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.from_config(demo(**changes))


def test_only_one_arm_and_seed():
    recipe = Recipe.from_config(demo()).only(arm="fine", seed=7)
    assert list(recipe.arms) == ["fine"] and recipe.seeds == (7,)
    with pytest.raises(RecipeError, match="did you mean 'fine'"):
        recipe.only(arm="fin", seed=0)


def test_folder_config_takes_level_names():
    loaded = config("folder", "species,genus,family@genus")
    assert set(loaded.arms) == {"species", "family", "random", "per_image"}
    with pytest.raises(ValueError, match="unknown level 'order'; there are: species, genus"):
        config("folder", "species,genus@order")


def test_stream_seeds_differ_by_purpose_and_seed():
    seeds = {
        stream_seed(seed, purpose) for seed in range(3) for purpose in ("pretrain", "transfer")
    }
    assert len(seeds) == 6 and all(0 <= seed < 2**31 for seed in seeds)


def test_an_arm_may_have_steps_of_its_own():
    arms = {"long": {"source": "per_image", "transfer_steps": 100}}
    recipe = Recipe.from_config(demo(arms=arms))
    assert [phase.total_steps for phase in recipe.phases_of("long")] == [200, 100]
    assert recipe.baseline_phase.total_steps == 200 + 40


def test_every_warmup_that_is_too_long_is_told_at_once_and_the_flags_mend_it():
    content = config("folder", "species,genus").to_dict()
    content["pretrain"]["total_steps"], content["transfer"]["total_steps"] = 6, 3
    content["transfer_choices"] = {
        "slow": {"head": "new", "mode": "finetune", "optimizer": {"warmup_steps": 40}}
    }
    with pytest.raises(RecipeError) as error:
        Recipe.from_config(content)
    flags = [word for word in str(error.value).replace(",", "").split() if word[:2] == "--"]
    assert flags == [
        "--config.pretrain.optimizer.warmup_steps=1",
        "--config.transfer.optimizer.warmup_steps=1",
        "--config.transfer_choices.slow.optimizer.warmup_steps=1",
    ]
    for flag in flags:
        *path, last = flag.removeprefix("--config.").partition("=")[0].split(".")
        holder = content
        for name in path:
            holder = holder[name]
        holder[last] = int(flag.partition("=")[2])
    recipe = Recipe.from_config(content)
    assert recipe.pretrain.optimizer.warmup_steps == 1
    assert recipe.transfer_choices["slow"].optimizer.warmup_steps == 1


@pytest.mark.parametrize(("batch_size", "steps"), [(24, 9), (48, 9), (5, 10)])
def test_steps_that_do_not_go_together_are_told_with_the_flag_that_mends_it(batch_size, steps):
    content = config("demo", "smoke").to_dict()  # 8 steps of transfer, 16 images each
    content["pretrain"]["batch_size"] = batch_size
    with pytest.raises(RecipeError, match=f"--config.transfer.total_steps={steps} makes it one"):
        Recipe.from_config(content)
    content["transfer"]["total_steps"] = steps
    recipe = Recipe.from_config(content)
    assert recipe.baseline_phase.total_steps * batch_size == 12 * batch_size + 16 * steps
