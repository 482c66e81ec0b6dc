"""Calls with fewer seeds or arms: what an earlier call finished stays in `results.csv`."""

from __future__ import annotations

import dataclasses

import pytest

from fine2coarse.analysis.study_folder import read_study
from fine2coarse.files import read_json
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.runs.stored_recipe import RunError
from fine2coarse.studies.run_plan import Run
from fine2coarse.studies.study import EARLIER_ARMS, RESULTS, Study, _begin
from tests.analysis.fake_study import ARMS, write_study

PHASE = {"total_steps": 40, "batch_size": 16, "optimizer": {"warmup_steps": 0}}


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.from_config(
        {
            "dataset": {"name": "folder", "options": {"source": "/photos", "flat": True}},
            "target": {"source": "level", "options": {"level": "superclass"}},
            "arms": ARMS,
            "seeds": [0, 1, 2],
            "backbone": {"name": "resnet_tiny", "image_size_px": 32},
            "pretrain": PHASE,
            "transfer": PHASE,
        }
    )


@pytest.fixture
def workdir(tmp_path, recipe):
    """A finished study: three arms and the baseline, three seeds."""
    folder = write_study(tmp_path / "study", num_images=40)
    _begin(recipe, folder)
    assert len(Study(recipe, folder).rows()) == 12
    return folder


def test_fewer_seeds_leave_the_table_as_it_is(workdir, recipe):
    before = (workdir / RESULTS).read_bytes()
    fewer = dataclasses.replace(recipe, seeds=(0,))
    _begin(fewer, workdir)
    study = Study(fewer, workdir)
    assert len(study.runs) == 4 and len(study.rows()) == 12
    assert (workdir / RESULTS).read_bytes() == before
    (note,) = study.notes()
    assert "baseline (seeds 1, 2)" in note and "stay in results.csv" in note
    assert read_study(workdir).is_whole


def test_fewer_arms_leave_the_table_whole_and_their_labels_known(workdir, recipe):
    fewer = dataclasses.replace(recipe, arms={"fine": recipe.arms["fine"]})
    _begin(fewer, workdir)
    study = Study(fewer, workdir)
    rows = study.rows()
    assert [row.arm for row in rows[:4]] == ["baseline", "fine", "middle", "random"]
    assert len(rows) == 12 and Run("random", 2) in study.further
    stored = recipe.to_dict()["arms"]
    assert read_json(workdir / EARLIER_ARMS) == {arm: stored[arm] for arm in ("middle", "random")}
    assert read_study(workdir).recipe["arms"]["random"] == stored["random"]
    _begin(recipe, workdir)  # and back
    assert not Study(recipe, workdir).further and len(read_study(workdir).runs) == 12


def test_an_arm_that_changed_cannot_share_a_table_with_its_former_self(workdir, recipe):
    longer = dataclasses.replace(recipe.arms["fine"], pretrain_steps=80)
    other = dataclasses.replace(recipe, arms={"fine": longer}, seeds=(7,))
    with pytest.raises(RunError, match=r"fine seed 0, .*arms.fine.pretrain_steps was 0, now 80"):
        Study(other, workdir).check_earlier_runs()
    same = dataclasses.replace(recipe, seeds=(7,))
    Study(same, workdir).check_earlier_runs()
