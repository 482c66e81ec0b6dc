"""Finished runs are read back whole, in order, and only if they can be compared."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from fine2coarse.analysis.finished import Cost
from fine2coarse.analysis.outcomes import (
    DIRECT,
    TRANSFERRED,
    OutcomeError,
    by_arm,
    in_use,
    load_outcomes,
)
from fine2coarse.runs.phase_folder import RunError
from tests.analysis.simulated import outcome, write_phase

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
    found = load_outcomes(study)
    assert [(o.arm, o.seed) for o in found] == [("baseline", 3), ("fine", 3), ("baseline", 1)]
    baseline, fine, _ = found
    assert baseline.wrong.tolist() == HALF.tolist() and not fine.wrong.any()
    assert (baseline.num_classes, fine.num_classes) == (4, 32)
    assert fine.row.images_seen == 200 and fine.row.num_wrong == 0
    assert fine.folder == study / "runs" / "fine-seed3" / "transfer"
    assert baseline.class_names() == ("0", "1", "2", "3")


def test_cost_adds_phases_and_leaves_unknown_what_is(study):
    baseline, fine, _ = load_outcomes(study)
    assert fine.results.cost == Cost(seconds=4.0, images=200, flops=900.0, peak_memory_bytes=90)
    assert baseline.results.cost == Cost(
        seconds=2.0, images=100, flops=None, peak_memory_bytes=None
    )


def test_answers_of_the_direct_use(study):
    baseline, fine, _ = load_outcomes(study)
    assert baseline.direct is None and baseline.used_directly is None
    assert fine.used_directly.wrong.tolist() == HALF.tolist() and not fine.wrong.any()
    used = in_use([baseline, fine], DIRECT)
    assert used[0] is baseline and used[1].wrong.tolist() == HALF.tolist()
    assert in_use([baseline, fine], TRANSFERRED) == [baseline, fine]
    (study / "runs/fine-seed3/pretrain/predictions.npz").unlink()
    _, fine, _ = load_outcomes(study)
    assert fine.direct is None and in_use([baseline, fine], DIRECT) == [baseline]
    assert fine.row.direct_wrong == 3, "the counts are there all the same"


def test_other_test_images_are_refused(study):
    write_phase(study / "runs" / "fine-seed1" / "transfer", 1, np.zeros(7, bool))
    with pytest.raises(OutcomeError, match=r"7 images and .* on 6: their image_ids differ"):
        load_outcomes(study)


def test_mistakes_are_named(study, tmp_path):
    with pytest.raises(RunError, match="expected the folder of a study"):
        load_outcomes(tmp_path / "nowhere")
    (study / "runs" / "baseline-seed1" / "baseline" / "predictions.npz").unlink()
    with pytest.raises(RunError, match=r"finished, but without predictions\.npz"):
        load_outcomes(study)
    with pytest.raises(OutcomeError, match="two runs of seed 0"):
        by_arm([outcome("a", 0, HALF), outcome("a", 0, HALF)])


def test_analysis_needs_no_tensorflow():
    code = "import sys, fine2coarse.analysis.statistics; print('tensorflow' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False"]
