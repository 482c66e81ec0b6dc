"""What binds a folder to a recipe: what determines numbers, and no more; old folders still open."""

from __future__ import annotations

import json

import pytest

from fine2coarse.recipes.phase_spec import PhaseSpec
from fine2coarse.recipes.recipe import SCHEMA_VERSION, Recipe, upgraded
from fine2coarse.runs.phase_folder import PhaseFolder
from fine2coarse.runs.stored_recipe import RunError
from fine2coarse.schema import defining, to_plain
from fine2coarse.studies.study import check_study

PHASE = {"total_steps": 4, "batch_size": 4}


def recipe(**changes) -> Recipe:
    content = {
        "dataset": {"name": "folder", "options": {"source": "/a.tar", "flat": True}},
        "target": {"source": "level", "options": {"level": "coarse"}},
        "arms": {"fine": {"source": "level", "options": {"level": "fine"}}},
        "seeds": [0],
        "backbone": {"name": "resnet_tiny", "image_size_px": 8},
        "pretrain": PHASE,
        "transfer": PHASE,
    }
    return Recipe.from_config({**content, **changes})


def store(folder, content: dict) -> None:
    (folder / "study.json").write_text(json.dumps(content), encoding="utf-8")


def shared(made: Recipe) -> dict:
    return {k: v for k, v in made.stored().items() if k not in ("arms", "seeds")}


@pytest.mark.parametrize(
    "changes",
    [
        {"pretrain": {**PHASE, "log_every_steps": 1, "checkpoints_to_keep": 9}},
        {"transfer": {**PHASE, "checkpoint_every_steps": 2, "steps_per_call": 1}},
        {"dataset": {"name": "folder", "options": {"source": "/b.zip", "flat": True}}},
        {
            "dataset": {
                "name": "folder",
                "options": {"source": "/a.tar", "flat": True, "num_workers": 8},
                "storage": "disk",
            }
        },
        {"seeds": [0, 1]},
        {"arms": {}},
    ],
)
def test_what_no_number_depends_on_makes_no_other_study(tmp_path, changes):
    store(tmp_path, shared(recipe()))
    check_study(recipe(**changes), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pretrain": {**PHASE, "loss": "sigmoid"}}, "pretrain.loss was 'softmax', now 'sigmoid'"),
        (
            {"dataset": {"name": "folder", "options": {"source": "/a.tar"}}},
            "dataset.options.flat was True, now None",
        ),
        (
            {"target": {"source": "level", "options": {"level": "fine"}}},
            "target.options.level was 'coarse', now 'fine'",
        ),
        ({"precision": "mixed_bfloat16"}, "precision was 'float32'"),
    ],
)
def test_what_numbers_depend_on_does(tmp_path, changes, message):
    store(tmp_path, shared(recipe()))
    with pytest.raises(RunError, match=message):
        check_study(recipe(**changes), tmp_path)


def test_an_interval_that_choices_of_weights_depend_on_is_not_operational():
    validated = {**PHASE, "validation_share": 0.5, "final_weights": "best"}
    every_two = PhaseSpec(**validated, checkpoint_every_steps=2)
    every_one = PhaseSpec(**validated, checkpoint_every_steps=1)
    assert defining(every_two) != defining(every_one)
    written_out = PhaseSpec(**validated, validate_every_steps=2, checkpoint_every_steps=1)
    assert defining(every_two) == defining(written_out)


def test_a_folder_of_an_earlier_schema_opens(tmp_path):
    now = recipe(transfer_candidates="off", transfer_head="new", transfer_mode="finetune")
    old = shared(now)
    for key in ("schema_version", "transfer_candidates", "transfer_head", "transfer_choices"):
        del old[key]
    del old["dataset"]["drop_duplicates"], old["pretrain"]["steps_per_call"]
    old["target"]["options"]["rule"] = ""  # options at their defaults were written out
    store(tmp_path, old)
    check_study(now, tmp_path)
    with pytest.raises(RunError, match="transfer_head was 'new', now 'auto'"):
        check_study(recipe(), tmp_path)


def test_a_folder_of_a_later_schema_is_told(tmp_path):
    store(tmp_path, {**shared(recipe()), "schema_version": SCHEMA_VERSION + 1})
    with pytest.raises(RunError, match=r"later version of fine2coarse .*update fine2coarse"):
        check_study(recipe(), tmp_path)
    assert upgraded({"transfer_head": "auto"}) == {"transfer_head": "auto"}


def test_a_run_goes_on_with_another_log_interval(tmp_path):
    phase = to_plain(PhaseSpec(**PHASE))
    of_phase = {"purpose": "pretrain", "phase": phase, "start_from": {"recipe": {"phase": phase}}}
    PhaseFolder(tmp_path).bind(of_phase)
    often = {**phase, "log_every_steps": 1}
    again = {"purpose": "pretrain", "phase": often, "start_from": {"recipe": {"phase": often}}}
    PhaseFolder(tmp_path).bind(again)
    other = {**of_phase, "start_from": {"recipe": {"phase": {**phase, "batch_size": 8}}}}
    with pytest.raises(RunError, match=r"start_from\.recipe\.phase\.batch_size was 4, now 8"):
        PhaseFolder(tmp_path).bind(other)


def test_an_old_run_folder_without_a_field_counts_as_its_default(tmp_path):
    phase = to_plain(PhaseSpec(**PHASE))
    older = {key: value for key, value in phase.items() if key not in ("mixup", "augment")}
    content = {"purpose": "pretrain", "phase": older}
    (tmp_path / "recipe.json").write_text(json.dumps(content), encoding="utf-8")
    PhaseFolder(tmp_path).bind({"purpose": "pretrain", "phase": phase})
