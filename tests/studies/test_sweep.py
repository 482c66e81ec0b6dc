"""The grid of a sweep: names of its cells, values of the field's type, mistakes told at once."""

from __future__ import annotations

import itertools

import pytest

from fine2coarse.api import load_config, parse_recipe
from fine2coarse.errors import RecipeError
from fine2coarse.files import write_json
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.runs.stored_recipe import RunError
from fine2coarse.studies.run_plan import Run
from fine2coarse.studies.sweep import (
    check_cells,
    note_cells,
    noted_cells,
    parse_sweeps,
    plan_sweep,
    share_of_cells,
)

RATE, STEPS = "pretrain.optimizer.learning_rate", "pretrain.total_steps"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return parse_recipe("demo:smoke")


def names(recipe, *texts: str) -> list[str]:
    return [cell.name for cell in plan_sweep(recipe, parse_sweeps(texts))]


def test_each_value_is_a_study_that_a_card_with_that_field_is(recipe):
    slow, fast = plan_sweep(recipe, parse_sweeps([f"{RATE}=0.05,0.2"]))
    assert (slow.name, fast.name) == ("learning_rate=0.05", "learning_rate=0.2")
    assert slow.values == {RATE: 0.05} and slow.flags == [f"--config.{RATE}=0.05"]
    assert slow.recipe == parse_recipe(load_config("demo:smoke", {RATE: 0.05}))
    assert fast.recipe.pretrain.optimizer.learning_rate == 0.2
    assert fast.recipe.transfer == recipe.transfer


def test_python_s_values_and_those_of_flags_are_the_same(recipe):
    by_flag = plan_sweep(recipe, parse_sweeps([f"{RATE}=1,1e-3"]))
    assert by_flag == plan_sweep(recipe, {RATE: [1, 0.001]})
    assert [cell.name for cell in by_flag] == ["learning_rate=1.0", "learning_rate=0.001"]


def test_several_fields_make_a_grid(recipe):
    grid = names(recipe, f"{RATE}=0.1,0.2", f"{STEPS}=12,20")
    assert grid == [
        "learning_rate=0.1__total_steps=12",
        "learning_rate=0.1__total_steps=20",
        "learning_rate=0.2__total_steps=12",
        "learning_rate=0.2__total_steps=20",
    ]


def test_names_tell_fields_apart_that_end_alike(recipe):
    (name,) = names(recipe, f"{RATE}=0.1", "transfer.optimizer.learning_rate=0.1")
    assert name == "pretrain.optimizer.learning_rate=0.1__transfer.optimizer.learning_rate=0.1"


def test_names_are_safe_and_differ(recipe):
    found = names(recipe, "seeds=(0,1),(0,),(1,0)", "pretrain.augment.flip=true,False")
    assert len(set(found)) == 6
    assert all(
        set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_=TrueFals.") for name in found
    )
    cells = plan_sweep(recipe, {"dataset.train_split": ["a/b", "a b", "x" * 300]})
    assert len({cell.name for cell in cells}) == 3
    assert all("/" not in cell.name and len(cell.name) < 70 for cell in cells)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["pretrain.lr=1"], "config.pretrain: unknown field 'lr'"),
        (["pretrain.optimiser.learning_rate=1"], "did you mean 'optimizer'"),
        (["arms.fien.pretrain_steps=8"], "did you mean 'fine'"),
        (["pretrain.optimizer=1,2"], "holds fields, sweep over one of these: .*learning_rate"),
        ([f"{STEPS}=many"], f"sweep over {STEPS}: expected int, got 'many'"),
        ([f"{STEPS}=12.5"], f"sweep over {STEPS}: expected int, got 12.5"),
        ([f"{STEPS}=12,,20"], f"sweep over {STEPS}: expected int, got ''"),
        (["pretrain.augment.flip=2"], "expected True or False, got 2"),
        ([f"{STEPS}=12,12"], "'12' is there twice"),
        ([f"{STEPS}=12", f"{STEPS}=20"], "is there twice; give all of its values at once"),
        ([f"{STEPS}="], "--sweep is FIELD=VALUE,VALUE"),
        (["learning_rate"], "--sweep is FIELD=VALUE,VALUE"),
        (["precision=float64"], "sweep, at precision=float64: precision is one of"),
        (["dataset.train_fraction=0.5,2"], "at dataset.train_fraction=2.0: .*at most 1"),
    ],
)
def test_mistakes_are_told_before_any_work(recipe, texts, message):
    with pytest.raises(RecipeError, match=message):
        plan_sweep(recipe, parse_sweeps(texts))
    with pytest.raises(RecipeError, match=r"a sweep needs a field"):
        plan_sweep(recipe, {})
    with pytest.raises(RecipeError, match=r"expected several values, got '0\.1'"):
        plan_sweep(recipe, {RATE: "0.1"})


def test_shares_are_of_all_cells_together(recipe):
    cells = plan_sweep(recipe, {RATE: [0.1, 0.2, 0.3]})
    shares = [share_of_cells(cells, ["fine"], [], (index, 2)) for index in range(2)]
    assert [len(share[cell.name]) for share in shares for cell in cells] == [1, 0, 1, 0, 1, 0]
    every = share_of_cells(cells)
    assert every["learning_rate=0.1"][0] == Run("baseline", 0)
    assert len(list(itertools.chain(*every.values()))) == 15
    with pytest.raises(RecipeError, match=r'--config.seeds="\(0, 1, 2\)"'):
        share_of_cells(cells, seeds=[2])


def test_a_folder_that_holds_a_study_or_another_sweep_is_refused(tmp_path, recipe):
    cells = plan_sweep(recipe, {RATE: [0.1]})
    check_cells(cells, tmp_path)
    cell = tmp_path / cells[0].name
    cell.mkdir()
    other = {k: v for k, v in recipe.stored().items() if k not in ("arms", "seeds")}
    write_json(cell / "study.json", other)
    with pytest.raises(RunError, match=r"learning_rate was 0\.2, now 0\.1"):
        check_cells(cells, tmp_path)
    write_json(tmp_path / "recipe.json", {})
    with pytest.raises(RunError, match="holds a study of its own"):
        check_cells(cells, tmp_path)


def test_cells_of_earlier_calls_stay_noted(tmp_path, recipe):
    folder = tmp_path / "sweep"
    note_cells(folder, plan_sweep(recipe, {RATE: [0.1, 0.2]}))
    note_cells(folder, plan_sweep(recipe, {RATE: [0.2, 0.4]}))
    assert [cell["values"][RATE] for cell in noted_cells(folder)] == [0.1, 0.2, 0.4]
    assert not noted_cells(tmp_path)
