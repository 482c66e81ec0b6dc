"""Every documented argument of a recipe, set to something else than its default, takes a step."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.datasets.open import open_dataset
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.studies.run_plan import plan_runs, select_runs
from fine2coarse.studies.study import Study
from fine2coarse.studies.study_data import load_study_data
from tests.studies import every_argument

pytestmark = [pytest.mark.both_backends, pytest.mark.usefixtures("without_xla")]

_PLACES = ("OWN", "OTHER", "FINISHED")
_NAMES = tuple(every_argument.cases(*_PLACES))


def recipe(name: str | None, own: str, other: str, finished: str) -> Recipe:
    changes = {} if name is None else every_argument.cases(own, other, finished)[name]
    return Recipe.from_config(every_argument.merged(every_argument.base(own), changes))


def all_values() -> dict[str, list]:
    """`Class.field` → the values that it has in some case."""
    found: dict[str, list] = {}
    for name in (None, *_NAMES):
        for field, value in every_argument.values_in(recipe(name, *_PLACES)):
            found.setdefault(field, []).append(value)
    return found


def test_no_argument_is_left_out():
    values = all_values()
    defaults = every_argument.documented_defaults()
    missing = {
        field
        for field, default in defaults.items()
        if all(value == default for value in values.get(field, ()))
    }
    assert not missing, "set them in some case of every_argument.py"
    assert "OptimizerSpec.ema_decay" in defaults and "StartSpec.kind" in defaults


def test_no_choice_is_left_out():
    values = all_values()
    for field, choices in every_argument.CHOICES.items():
        assert set(choices) == set(values[field]), field


@pytest.fixture(scope="module")
def places(tmp_path_factory, engine) -> tuple[str, str, str]:
    """Two folders of generated photographs, and a finished run on the first."""
    root = tmp_path_factory.mktemp("every")
    generator = np.random.default_rng(0)
    for folder, counts in (("own", {"train": 4, "test": 2}), ("other", {"val": 2})):
        for split, count in counts.items():
            for label, name in enumerate(("apple", "leek", "pear")):
                (root / folder / split / name).mkdir(parents=True)
                for number in range(count):
                    pixels = generator.integers(60 * label, 60 * label + 60, (10, 8, 3), np.uint8)
                    path = root / folder / split / name / f"{folder}{number}.jpg"
                    path.write_bytes(tf.io.encode_jpeg(pixels).numpy())
    (root / "own/taxonomy.csv").write_text("fine,coarse\npear,f\nleek,v\napple,f\n")
    own, other = str(root / "own"), str(root / "other")
    run_arm(recipe(None, own, other, ""), root, root / "base", engine)
    return own, other, str(root / "base" / "runs" / "arm-seed0" / "transfer")


def run_arm(recipe: Recipe, root: pathlib.Path, workdir: pathlib.Path, engine) -> list:
    """Pretrains and transfers the one arm."""
    specs = (recipe.dataset, recipe.evaluation, recipe.transfer_dataset)
    opened = [spec and open_dataset(spec.name, spec.options, str(root / "data")) for spec in specs]
    runs = select_runs(plan_runs(recipe), ["arm"], [])
    data = load_study_data(recipe, *opened, runs)
    return Study(recipe, workdir).run(data, engine, runs=runs)


@pytest.mark.slow
@pytest.mark.parametrize("name", _NAMES)
def test_takes_a_step(places, tmp_path, engine, name):
    root = pathlib.Path(places[0]).parent
    (row,) = run_arm(recipe(name, *places), root, tmp_path, engine)
    assert row.arm == "arm" and row.num_images > 0
    weights = sorted(path.parent.name for path in tmp_path.glob("runs/*/*/model.weights.h5"))
    assert weights == ["pretrain", "transfer"]
