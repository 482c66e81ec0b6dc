"""What a plan says before data is prepared: bounds where the source decides, and downloads."""

from __future__ import annotations

import pytest

from fine2coarse.cards import load_card
from fine2coarse.errors import UsageError
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.studies import dry_run
from fine2coarse.studies.run_plan import plan_runs
from tests.engines import one_device


def plan_of(tmp_path, card: str, **changes) -> list[str]:
    """The lines of a plan whose data is not prepared; the model's size is not asked for."""
    recipe = Recipe.from_config({**load_card(card).to_dict(), **changes})
    parts = dry_run.describe_study(
        recipe, plan_runs(recipe), tmp_path / "run", one_device(), str(tmp_path / "data")
    )
    return "\n".join(parts).splitlines()


@pytest.fixture(autouse=True)
def small_model(monkeypatch):
    monkeypatch.setattr(dry_run, "_model_size", lambda recipe: (1000, 16, 10**9))


def test_classes_that_a_rule_decides_are_told_as_published(tmp_path):
    options = {"subset": "21k_p", "manual_dir": "x"}
    dataset = {"name": "imagenet21k", "options": options}
    arms = {"leaves": {"source": "level", "options": {"level": "0"}}}
    lines = plan_of(tmp_path, "imagenet21k_mini:x,few", arms=arms, seeds=(0,), dataset=dataset)
    told = "\n".join(lines)
    assert "min_images_per_class=501 decides the classes: at most 21,843 classes at level 0" in told
    assert "21K-P, winter21: 10,450 classes at level 0 are published" in told


def test_classes_that_the_archive_decides_are_not_told_as_known(tmp_path):
    arms = {
        name: {"source": "level", "options": {"level": level}}
        for name, level in (("leaves", "0"), ("hop", "1"))
    }
    lines = plan_of(tmp_path, "imagenet21k_mini:x,few", arms=arms, seeds=(0,))
    assert any(
        "the archive has: at most 21,843 classes at level 0, 5,995 classes at level 1" in line
        for line in lines
    )
    (leaves,) = [line for line in lines if line.startswith("leaves seed 0")]
    assert leaves.split()[3] == "?"
    all_leaves = load_card("imagenet21k_mini:x,few").to_dict()["dataset"]
    all_leaves["options"]["leaves"] = "all"
    lines = plan_of(tmp_path, "imagenet21k_mini:x,few", arms=arms, dataset=all_leaves)
    (leaves,) = [line for line in lines if line.startswith("leaves seed 0")]
    assert leaves.split()[3] == "21,843"


def test_what_would_be_downloaded_is_told(tmp_path):
    lines = plan_of(tmp_path, "paper_inat2021")
    (line,) = [line for line in lines if "is downloaded first" in line]
    assert "293.8 GB (train 240.1 GB, mini 44.7 GB, val 8.9 GB)" in line
    own = load_card("paper_inat2021").to_dict()["dataset"]
    own["options"] = {"manual_dir": str(tmp_path)}
    lines = plan_of(tmp_path, "paper_inat2021", dataset=own)
    assert not any("is downloaded first" in line for line in lines)


def test_a_level_that_cannot_be_is_refused(tmp_path):
    arms = {"a": {"source": "level", "options": {"level": "40"}}}
    with pytest.raises(UsageError, match="arm 'a': imagenet21k: unknown level '40'; did you mean"):
        plan_of(tmp_path, "imagenet21k_mini:x,few", arms=arms)
