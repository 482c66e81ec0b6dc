"""What may be deleted of a study, and what stays whatever happens."""

from __future__ import annotations

import os

import pytest

from fine2coarse.analysis.study_folder import read_study
from fine2coarse.claims import Claims
from fine2coarse.errors import UsageError
from fine2coarse.files import partial_name
from fine2coarse.folders.cleaning import (
    BRANCHES,
    LEFTOVERS,
    OLD_CHECKPOINTS,
    PREPARED,
    TRIAL_WEIGHTS,
    clean,
    plan_cleaning,
)
from tests.analysis.fake_study import write_study
from tests.folders.trees import MEGABYTE, write_bytes, write_data, write_heavy_study, write_phase


def names(plan, kind):
    return [path.relative_to(plan.folder).as_posix() for path, _ in plan.files[kind]]


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture
def study(tmp_path):
    return write_heavy_study(tmp_path / "runs" / "photos")


def test_a_finished_study(study):
    before = tree(study)
    plan = plan_cleaning(study)
    assert len(plan.files[OLD_CHECKPOINTS]) == 6  # three arms, two seeds
    assert len(plan.files[TRIAL_WEIGHTS]) == 8  # and of the baseline's
    assert len(plan.files[BRANCHES]) == 4  # two files, of two names each
    # Six checkpoints, eight weights of trials and two branches.
    assert plan.num_bytes == 16 * MEGABYTE
    assert "8 runs begun, 8 finished" in plan.describe() and "16.0 MB" in plan.describe()
    assert tree(study) == before, "nothing goes by planning"
    clean(plan)
    gone = set(before) - set(tree(study))
    heavy = ("step-40.npz", "model.weights.h5", "branch.weights.h5", "checkpoints")
    assert all(name.endswith(heavy) for name in gone)
    assert len(list(study.glob("runs/*/transfer/model.weights.h5"))) == 6
    assert len(list(study.glob("runs/*/pretrain/model.weights.h5"))) == 6
    assert len(list(study.glob("runs/*/trials/new/result.json"))) == 8
    assert read_study(study).is_whole
    assert plan_cleaning(study).num_files == 0


def test_an_unfinished_run_keeps_what_it_goes_on_from(study):
    run = study / "runs" / "fine-seed1"
    (run / "transfer" / "result.json").unlink()
    write_bytes(run / "trials" / "summed" / "checkpoints" / "step-8.npz")
    plan = plan_cleaning(study)
    # Its pretraining is finished, and nothing trains it again; all else of it stays.
    own = [name for kind in plan.files for name in names(plan, kind) if "fine-seed1" in name]
    assert own == ["runs/fine-seed1/pretrain/checkpoints/step-40.npz"]
    (study / "runs" / "baseline-seed0" / "baseline" / "result.json").unlink()
    kept = [name for kind in plan.files for name in names(plan_cleaning(study), kind)]
    assert not [name for name in kept if name.startswith("runs/baseline-seed0")]


def test_what_a_living_process_works_on_is_left_alone(study):
    write_bytes(study / "runs" / "fine-seed0" / "pretrain" / partial_name("model.h5"), 5)
    claim = Claims(study / "claims").take("fine-seed0")
    plan = plan_cleaning(study)
    claim.withdraw()
    assert not [n for kind in plan.files for n in names(plan, kind) if "fine-seed0" in n]
    assert "left alone: fine-seed0" in plan.describe()
    assert len(names(plan_cleaning(study), LEFTOVERS)) == 1


def test_leftovers_beside_the_runs_go_when_they_are_old(study):
    half = write_bytes(study / "tables" / partial_name("arms.csv"), 5)
    folder = write_bytes(study / "runs" / "fine-seed0" / partial_name("x") / "part", 5)
    assert len(names(plan_cleaning(study), LEFTOVERS)) == 1
    os.utime(half, (1e9, 1e9))
    plan = plan_cleaning(study)
    assert len(names(plan, LEFTOVERS)) == 2
    clean(plan)
    assert not half.exists() and not folder.parent.exists()


def test_links_are_left(study, tmp_path):
    apart = tmp_path / "large_disk"
    write_bytes(apart / "step-4.npz")
    (study / "runs" / "fine-seed0" / "pretrain" / "more").symlink_to(apart)
    (study / "runs" / "fine-seed0" / "pretrain" / "checkpoints" / "step-9.npz").symlink_to(
        apart / "step-4.npz"
    )
    clean(plan_cleaning(study))
    assert (apart / "step-4.npz").is_file()


def test_prepared_data_goes_only_when_asked_for_and_unshared(study):
    write_data(study / "data")
    write_bytes(study / "data" / "downloads" / "photos.tar", 3)
    plan = plan_cleaning(study)
    assert plan.files[PREPARED] == [] and "--data deletes it too" in plan.describe()
    other = write_study(study.parent / "other")
    with pytest.raises(UsageError, match=f"shared with {other}"):
        plan_cleaning(study, with_data=True)
    (other / "recipe.json").write_text('{"arms": {}}')
    with pytest.raises(UsageError, match=f"shared with {other}"):  # damaged, but it uses it
        plan_cleaning(study, with_data=True)
    write_data(other / "data")  # now it has its own
    plan = plan_cleaning(study, with_data=True)
    assert names(plan, PREPARED) == [
        f"data/folder/photos/1.0.0/{name}"
        for name in ("dataset_info.json", "photos-train.tfrecord-00000-of-00001")
    ]
    clean(plan)
    assert tree(study / "data")[-2:] == ["downloads", "downloads/photos.tar"]
    assert (other / "data" / "folder" / "photos" / "1.0.0").is_dir()


def test_data_that_is_being_prepared_stays(study):
    write_data(study / "data")
    claim = Claims(study / "data" / "claims").take("prepare-1")
    with pytest.raises(UsageError, match="works on prepare-1"):
        plan_cleaning(study, with_data=True)
    claim.withdraw()
    plan = plan_cleaning(study, with_data=True)
    clean(plan)
    assert not (study / "data").exists()


def test_data_elsewhere_is_told(study, tmp_path):
    data = write_data(tmp_path / "data")
    assert "lies outside" in plan_cleaning(study, root=tmp_path).describe()
    with pytest.raises(UsageError, match=f"no prepared data in .*{data}"):
        plan_cleaning(study, root=tmp_path, with_data=True)


def test_a_lone_run(tmp_path):
    run = write_phase(tmp_path / "fine")
    checkpoint = write_bytes(run / "checkpoints" / "step-8.npz")
    weights = write_bytes(run / "model.weights.h5")
    own = write_bytes(run / "checkpoints" / "notes.txt", 3)
    claim = Claims(run / "claims").take("run")
    assert plan_cleaning(run).num_files == 0
    claim.withdraw()
    clean(plan_cleaning(run))
    assert not checkpoint.exists() and weights.exists() and own.exists()
    unfinished = write_phase(tmp_path / "later", is_finished=False)
    write_bytes(unfinished / "checkpoints" / "step-8.npz")
    assert plan_cleaning(unfinished).num_files == 0


def test_what_is_no_study_is_refused(study, tmp_path):
    run = "runs/fine-seed0"
    for part in (run, f"{run}/transfer", f"{run}/trials/new", f"{run}/trials/new/probe"):
        with pytest.raises(UsageError, match=f"a part of .*{study.name}"):
            plan_cleaning(study / part)
    with pytest.raises(UsageError, match="did you mean"):
        plan_cleaning(tmp_path / "runs")
