"""What a study's folder says of missing runs, and of runs that nobody asks for any more."""

from __future__ import annotations

import shutil

import pytest

from fine2coarse.analysis.study_folder import MergeError, in_order, read_study, runs_in_words
from fine2coarse.files import read_json, write_json
from tests.analysis.fake_study import ARMS, write_study


def change(study, **recipe):
    write_json(study / "recipe.json", {**read_json(study / "recipe.json"), **recipe})


def names(found) -> list[tuple[str, int]]:
    return [(run.arm, run.seed) for run in found.runs]


def test_a_whole_study_has_nothing_to_say(tmp_path):
    found = read_study(write_study(tmp_path / "s"))
    assert found.is_whole and not found.partial_note and not found.further_note
    assert found.num_planned == len(found.runs) == 12


def test_what_is_missing(tmp_path):
    study = write_study(tmp_path / "s")
    for name in ("baseline-seed2", "middle-seed2", "fine-seed2", "random-seed2", "fine-seed0"):
        shutil.rmtree(study / "runs" / name)
    found = read_study(study)
    assert found.partial_note == (
        "partial: 7 of 12 runs are finished; missing: seed 2; fine (seed 0)"
    )
    assert found.missing[0] == ("fine", 0) and len(found.missing) == 5


def test_runs_of_seeds_that_are_no_longer_asked_for_stay(tmp_path):
    study = write_study(tmp_path / "s")
    before = names(read_study(study))
    change(study, seeds=[0])
    found = read_study(study)
    assert names(found) == before and found.is_whole and found.num_planned == 12
    assert found.recipe["seeds"] == [0, 1, 2]
    assert found.further_note.endswith(
        "baseline (seeds 1, 2); fine (seeds 1, 2); middle (seeds 1, 2); random (seeds 1, 2)"
    )


def test_runs_of_arms_that_are_no_longer_asked_for_stay_with_their_labels(tmp_path):
    study = write_study(tmp_path / "s")
    change(study, arms={"fine": ARMS["fine"]})
    write_json(study / "earlier_arms.json", {arm: ARMS[arm] for arm in ("middle", "random")})
    found = read_study(study)
    assert len(found.runs) == 12 and found.is_whole
    assert found.recipe["arms"] == {arm: ARMS[arm] for arm in ("fine", "middle", "random")}
    (study / "earlier_arms.json").unlink()  # as an earlier version left it
    assert set(read_study(study).recipe["arms"]) == set(ARMS)


def test_runs_on_other_images_are_left_out(tmp_path):
    study = write_study(tmp_path / "s")
    change(study, seeds=[0, 1])
    for path in (study / "runs").glob("*-seed2/*/recipe.json"):
        write_json(path, {**read_json(path), "dataset_fingerprint": "other"})
    found = read_study(study)
    assert {run.seed for run in found.runs} == {0, 1} and not found.further


def test_a_folder_in_which_nothing_is_finished(tmp_path):
    study = write_study(tmp_path / "s")
    shutil.rmtree(study / "runs")
    with pytest.raises(MergeError, match="none of its 12 runs is finished yet"):
        read_study(study)


def test_the_order_is_the_recipes_then_what_came_before():
    runs = [("old", 0), ("fine", 7), ("baseline", 0), ("fine", 0), ("baseline", 1)]
    assert in_order(runs, ["fine"], [1, 0]) == [
        ("baseline", 1), ("baseline", 0), ("fine", 0), ("old", 0), ("fine", 7)
    ]  # fmt: skip


def test_many_missing_runs_are_told_shortly():
    runs = [(f"arm{number}", seed) for number in range(9) for seed in (1, 0)]
    told = runs_in_words(runs)
    assert told.startswith("arm0 (seeds 0, 1); arm1") and told.endswith("; and 3 more arms")
