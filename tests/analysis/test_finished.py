"""Finished runs are read back whole, in order, and only if they can be compared."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from fine2coarse.analysis import predictions
from fine2coarse.analysis.finished import Cost, FinishedRun, read_run
from fine2coarse.analysis.statistics import compare
from fine2coarse.analysis.study_folder import MergeError, read_study
from fine2coarse.analysis.uses import (
    TRANSFERRED,
    ComparisonError,
    by_arm,
    check_same_images,
    predictions_in_use,
)
from fine2coarse.recipes.names import DIRECT
from fine2coarse.runs.phase_folder import RunError
from tests.analysis.simulated import finished_run, write_phase

RIGHT, HALF = np.zeros(6, bool), np.arange(6) % 2 == 0


@pytest.fixture
def study(tmp_path):
    """Two seeds of the baseline, one of `fine`; the recipe also names an arm not yet run."""
    recipe = {"seeds": [3, 1], "arms": {"fine": {}, "later": {}}}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    runs = tmp_path / "runs"
    write_phase(runs / "baseline-seed3" / "baseline", 3, HALF)
    write_phase(runs / "baseline-seed1" / "baseline", 1, RIGHT)
    cost = {"train_flops_per_image": 7, "peak_memory_bytes": 50}
    write_phase(runs / "fine-seed3" / "pretrain", 3, HALF, num_classes=32, cost=cost)
    cost = {"train_flops_per_image": 2, "peak_memory_bytes": 90}
    write_phase(runs / "fine-seed3" / "transfer", 3, RIGHT, cost=cost)
    write_phase(runs / "fine-seed1" / "pretrain", 1, HALF)
    return tmp_path


def test_finished_runs_in_the_order_of_the_recipe(study):
    found = read_study(study)
    runs = [(run.arm, run.seed) for run in found.runs]
    assert runs == [("baseline", 3), ("fine", 3), ("baseline", 1)] and found.num_planned == 6
    baseline, fine, _ = found.runs
    assert baseline.predictions.transferred.wrong.tolist() == HALF.tolist()
    assert not fine.predictions.transferred.wrong.any()
    assert (baseline.num_classes, fine.num_classes) == (4, 32)
    assert fine.row.images_seen == 200 and fine.row.num_wrong == 0
    assert fine.phases == [fine.folder / "pretrain", fine.folder / "transfer"]
    assert fine.tested_folder == study / "runs" / "fine-seed3" / "transfer"
    assert baseline.class_names() == ("0", "1", "2", "3")


def test_rows_need_no_answers_and_answers_are_read_once(study, monkeypatch):
    read = []
    true_reader = predictions.read_predictions
    monkeypatch.setattr(
        predictions, "read_predictions", lambda phase: read.append(phase) or true_reader(phase)
    )
    baseline, fine, _ = read_study(study).runs
    assert (baseline.row.num_wrong, fine.row.direct_wrong) == (3, 3) and read == []
    renamed = dataclasses.replace(fine, arm="fine (first)")
    for run in (fine, renamed, fine):
        assert run.predictions.direct.wrong.sum() == 3
        assert not run.predictions.transferred.wrong.any()
    assert len(read) == 2 and renamed.row.arm == "fine (first)"


def test_runs_on_the_same_images_share_their_ids(study):
    baseline, fine, earlier = (run.predictions.transferred for run in read_study(study).runs)
    assert fine.image_ids is baseline.image_ids is earlier.image_ids
    assert fine.targets is baseline.targets and fine.predicted is not baseline.predicted
    with pytest.raises(ValueError, match="read-only"):
        fine.image_ids[0] = "x"


def test_cost_adds_phases_and_leaves_unknown_what_is(study):
    baseline, fine, _ = read_study(study).runs
    assert fine.cost == Cost(seconds=4.0, images=200, flops=900.0, peak_memory_bytes=90)
    assert baseline.cost == Cost(seconds=2.0, images=100, flops=None, peak_memory_bytes=None)


def test_answers_of_the_direct_use(study):
    baseline, fine, _ = read_study(study).runs
    assert baseline.predictions.direct is None
    used = predictions_in_use([baseline, fine], DIRECT, "baseline")
    assert used["baseline"][3] is baseline.predictions.transferred
    assert used["fine"][3].wrong.tolist() == HALF.tolist()
    after = predictions_in_use([baseline, fine], TRANSFERRED, "baseline")
    assert after["fine"][3] is fine.predictions.transferred
    (study / "runs/fine-seed3/pretrain/predictions.npz").unlink()
    _, fine, _ = read_study(study).runs
    assert fine.predictions.direct is None
    assert set(predictions_in_use([baseline, fine], DIRECT, "baseline")) == {"baseline"}
    assert fine.row.direct_wrong == 3, "the counts are there all the same"


def test_a_direct_use_tested_on_other_images_is_left_out(study):
    shutil.rmtree(study / "runs/fine-seed3/pretrain")
    write_phase(study / "runs/fine-seed3/pretrain", 3, HALF)
    path = study / "runs/fine-seed3/pretrain/predictions.npz"
    with np.load(path) as file:
        np.savez_compressed(path, **{**file, "image_ids": np.asarray(list("uvwxyz"))})
    assert read_study(study).runs[1].predictions.direct is None


def test_other_test_images_are_refused(study):
    write_phase(study / "runs" / "fine-seed1" / "transfer", 1, np.zeros(7, bool))
    runs = read_study(study).runs
    with pytest.raises(ComparisonError, match=r"7 images and .* on 6: their image_ids differ"):
        compare(runs)
    path = study / "runs/fine-seed1/transfer/predictions.npz"
    with np.load(study / "runs/fine-seed3/transfer/predictions.npz") as file:
        np.savez_compressed(path, **{**file, "targets": np.zeros(6, np.int32)})
    with pytest.raises(ComparisonError, match=r"6 images and .* on 6: their targets differ"):
        check_same_images(read_study(study).runs)


def test_mistakes_are_named(study, tmp_path):
    with pytest.raises(MergeError, match="expected the folder of a study"):
        read_study(tmp_path / "nowhere")
    path = study / "runs" / "baseline-seed1" / "baseline" / "predictions.npz"

    def predictions():
        return read_study(study).runs[-1].predictions.transferred

    np.savez_compressed(path, image_ids=np.asarray(["a"]), targets=np.zeros(1, np.int32))
    with pytest.raises(RunError, match="lacks predicted, margins; expected image_ids, targets"):
        predictions()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match=r"damaged .*; delete .*baseline and start the study again"):
        predictions()
    path.unlink()
    with pytest.raises(RunError, match=r"finished, but without predictions\.npz"):
        predictions()
    with pytest.raises(RunError, match="expected the folder of a finished run"):
        read_run(study / "runs" / "fine-seed1", "fine", 1)
    with pytest.raises(ComparisonError, match="two runs of seed 0"):
        by_arm([finished_run("a", 0, HALF), finished_run("a", 0, HALF)])


def phase(num_wrong: int, *, images: int = 100, seconds: float = 2.0, **more: object) -> dict:
    return {
        "num_classes": 4,
        "seed": 0,
        "images_seen": images,
        "elapsed_seconds": seconds,
        "evaluation": {"num_wrong": num_wrong, "num_images": 100},
        **more,
    }


def read(
    folder: pathlib.Path,
    arm: str,
    pretrained: dict | None,
    tested: dict,
    recipe: dict | None = None,
) -> FinishedRun:
    """A run as its folder tells it, which holds these results."""
    last = folder / ("baseline" if arm == "baseline" else "transfer")
    for path, content in (
        (folder / "pretrain" / "result.json", pretrained),
        (last / "result.json", tested),
        (last / "recipe.json", recipe),
    ):
        if content is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content), encoding="utf-8")
    return read_run(folder, arm, 0)


def test_every_trial_counts_in_a_row_and_in_the_cost(tmp_path):
    cost = {"train_flops_per_image": 3, "peak_memory_bytes": 7}
    pretrain = phase(
        10, images=1000, seconds=20.0, cost=cost, direct_argmax={"num_wrong": 12, "num_images": 100}
    )
    trials = {
        "direct": phase(10, images=0, seconds=0.0, cost={}),
        "summed": phase(9, images=100, seconds=2.0, cost=cost),
        "new": phase(15, images=100, seconds=3.0, cost=cost | {"peak_memory_bytes": 9}),
    }
    final = phase(9, images=100, seconds=2.0, transfer="summed", candidates=trials)
    run = read(tmp_path / "0", "fine", pretrain, final)
    assert run.cost == Cost(seconds=25.0, images=1200, flops=3600.0, peak_memory_bytes=9)
    found = run.row
    assert (found.images_seen, found.pretrain_seconds, found.transfer_seconds) == (1200, 20.0, 5.0)
    assert (found.num_wrong, found.direct_wrong, found.direct_argmax_wrong) == (9, 10, 12)
    assert found.transfer == "summed"
    # Chosen direct: the last result has no training of its own.
    direct = phase(10, images=0, seconds=0.0, transfer="direct", candidates=trials)
    assert read(tmp_path / "1", "fine", pretrain, direct).row.images_seen == 1200
    # The baseline's candidates are all of its training: `straight` is the whole of it.
    trainings = {"straight": phase(9, images=1100), "continue": phase(8)}
    base = phase(8, transfer="continue", candidates=trainings)
    assert read(tmp_path / "2", "baseline", None, base).row.images_seen == 1200


def test_runs_from_before_transfers_had_names(tmp_path):
    new, probe = {"freeze_backbone": False}, {"freeze_backbone": True}
    assert read(tmp_path / "0", "baseline", None, phase(1), new).transfer == "straight"
    assert read(tmp_path / "1", "fine", phase(7), phase(1), new).transfer == "new"
    assert read(tmp_path / "2", "fine", phase(7), phase(1), probe).transfer == "linear_probe"
    found = read(tmp_path / "3", "fine", phase(7), phase(9)).row
    assert (found.direct_wrong, found.direct_argmax_wrong, found.images_seen) == (7, None, 200)


def test_a_pretraining_tested_on_something_else_has_no_direct_use(tmp_path):
    other = phase(7, evaluated_space="fine")
    assert read(tmp_path / "0", "fine", other, phase(9, evaluated_space="coarse")).direct is None
    fewer = phase(7) | {"evaluation": {"num_wrong": 7, "num_images": 50}}
    assert read(tmp_path / "1", "fine", fewer, phase(9)).direct is None
    untested = {name: value for name, value in phase(7).items() if name != "evaluation"}
    assert read(tmp_path / "2", "fine", untested, phase(9)).direct is None


def test_analysis_needs_no_tensorflow():
    code = "import sys, fine2coarse.analysis.statistics; print('tensorflow' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False"]
