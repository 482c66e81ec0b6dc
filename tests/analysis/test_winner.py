"""The winner of a study: which run, why, which use, how certain; and what --run names."""

from __future__ import annotations

import json
import pathlib
import shlex

import pytest

from fine2coarse.analysis.find_run import find_run
from fine2coarse.analysis.study_folder import MergeError, read_study
from fine2coarse.analysis.winner import Winner, find_winner, next_commands
from fine2coarse.api import read_result, with_addresses
from fine2coarse.errors import UsageError
from fine2coarse.runs.phase_folder import RunError
from tests.analysis.fake_study import DIRECT, write_study


def winner_of(workdir: pathlib.Path) -> Winner:
    return find_winner(read_study(workdir))


def edit(path: pathlib.Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.fixture
def study(tmp_path) -> pathlib.Path:
    """Fine labels used directly win: 12 % against the baseline's 36 %."""
    return write_study(tmp_path / "demo", direct=DIRECT, candidates=True)


def hold_out(study: pathlib.Path, wrong: dict[int, int]) -> None:
    """Sets the errors on held-out images of each seed of `fine`, of 100."""
    for seed, number in wrong.items():
        path = study / "runs" / f"fine-seed{seed}" / "transfer" / "result.json"
        edit(path, held_out={"num_wrong": number, "num_images": 100})


def test_the_arm_by_test_error_the_run_by_held_out_images(study):
    hold_out(study, {0: 9, 1: 4, 2: 5})
    found = winner_of(study)
    run = study / "runs" / "fine-seed1"
    assert (found.arm, found.seed, found.run, found.phase) == ("fine", 1, run, run / "transfer")
    assert (found.use, found.transfer, found.held_out) == ("direct", "direct", (4, 100))
    assert (found.verdict, found.num_seeds, found.is_partial) == ("lower", 3, False)
    assert found.error == pytest.approx(0.12)
    assert found.sentence.startswith(
        f"Best: fine, seed 1 ({run}): the lowest mean test error, 12.00 % over 3 seeds (the "
        "baseline's is 36.00 %; more than chance, p "
    )
    assert "used directly: the pretrained model as it is, the probabilities of its 32 classes" in (
        found.sentence
    )
    assert found.sentence.endswith("the one with the fewest errors on held-out images (4 of 100).")


def test_of_equal_runs_the_lowest_seed(study):
    hold_out(study, {0: 9, 1: 4, 2: 4})
    found = winner_of(study)
    assert found.seed == 1 and "the lowest of those with the fewest errors" in found.sentence


def test_a_seed_without_held_out_images_is_not_the_best_for_that(study):
    hold_out(study, {0: 9, 2: 5})
    run_of_one = study / "runs" / "fine-seed1" / "transfer" / "result.json"
    edit(run_of_one, held_out=None, candidates={})
    found = winner_of(study)
    assert found.seed == 0
    assert "Nothing was held out to choose among its seeds, so the lowest is taken." in (
        found.sentence
    )


def test_nothing_was_held_out(tmp_path):
    found = winner_of(write_study(tmp_path / "study"))
    assert (found.arm, found.seed, found.held_out, found.use) == ("fine", 0, None, "transferred")
    assert "Nothing was held out to choose among its seeds, so the lowest is taken." in (
        found.sentence
    )
    assert "It is used after transfer (new)." in found.sentence


def test_the_baseline_may_win(tmp_path):
    errors = {"baseline": 0.1, "fine": 0.2, "middle": 0.15, "random": 0.5}
    found = winner_of(write_study(tmp_path / "study", errors=errors))
    assert (found.arm, found.use, found.verdict) == ("baseline", "baseline", "")
    assert found.phase.name == "baseline"
    assert (
        "no label space made fewer errors. Its mean test error is 10.00 % over 3 seeds; that of "
        "the next arm, middle, 15.00 %."
    ) in found.sentence


def test_a_tie_goes_to_the_baseline(tmp_path):
    errors = dict.fromkeys(("baseline", "fine", "middle", "random"), 0.2)
    assert winner_of(write_study(tmp_path / "study", errors=errors)).arm == "baseline"


def test_one_seed_is_no_certainty(tmp_path):
    found = winner_of(write_study(tmp_path / "study", seeds=(0,)))
    assert found.verdict == "too few seeds"
    assert "one seed cannot tell whether that is chance, use 3 or more" in found.sentence
    assert "Of its seeds" not in found.sentence


def test_part_of_a_study(study):
    (study / "runs" / "fine-seed2" / "transfer" / "result.json").unlink()
    found = winner_of(study)
    assert found.is_partial and found.num_seeds == 2
    assert found.sentence.endswith("Partial: 11 of 12 runs are finished.")


def test_early_runs_without_predictions(tmp_path):
    found = winner_of(write_study(tmp_path / "study", predictions=False, cost=False))
    assert found.arm == "fine" and found.verdict == ""
    assert "whether that is chance is not tested" in found.sentence


def test_the_commands_are_for_a_shell(study):
    first, predict, export = next_commands("runs/my demo").splitlines()
    assert first == "Use it:"
    assert shlex.split(predict) == ["fine2coarse", "predict", "--run=runs/my demo", "PHOTO.jpg"]
    assert shlex.split(export)[2:] == ["--run=runs/my demo", "--head", "--out=exported/my demo"]
    assert next_commands("gs://bucket/demo") == ""
    assert winner_of(study).told(study).count("\n") == 3


def test_a_study_in_a_bucket_names_its_addresses(study):
    found = winner_of(study).moved(study, "gs://bucket/demo")
    assert found.phase == f"gs://bucket/demo/runs/fine-seed{found.seed}/transfer"
    for place in ("gs://bucket/demo", study):  # as it was given, and its copy, gone by then
        assert str(study) not in found.told(place)
        assert "fine2coarse" not in found.told(place)


def test_a_result_from_a_bucket_names_no_local_copy(study):
    told = str(with_addresses("gs://bucket/demo/", read_result(study)))
    assert "(gs://bucket/demo/runs/fine-seed" in told and str(study) not in told
    assert f"--run={study}" in str(with_addresses(str(study), read_result(study)))


def test_a_study_stands_for_its_winner(study):
    hold_out(study, {0: 9, 1: 4, 2: 5})
    run = study / "runs" / "fine-seed1"
    found = find_run(study)
    assert found.path == run / "transfer" and not found.is_export
    assert found.note.startswith("Best: fine, seed 1") and "Taken: " in found.note
    assert find_run(study, "pretrain").path == run / "pretrain"


def test_a_run_stands_for_its_last_phase_and_names_the_other(study):
    run = study / "runs" / "fine-seed0"
    assert find_run(run).note == (
        f"Taken: {run}/transfer, which has the 4 classes of superclass; the pretraining, "
        f"{run}/pretrain, which has the 32 classes of superclass."
    )
    assert find_run(run, "pretrain").path == run / "pretrain"
    baseline = find_run(study / "runs" / "baseline-seed0", "pretrain")
    assert baseline.path.name == "baseline" and ";" not in baseline.note


def test_a_phase_stands_for_itself(study):
    phase = study / "runs" / "fine-seed0" / "pretrain"
    assert find_run(phase).path == phase and not find_run(phase).note


def test_what_is_not_finished(study):
    run = study / "runs" / "fine-seed0"
    (run / "transfer" / "result.json").unlink()
    status = {"state": "running", "step": 20, "total_steps": 40}
    (run / "transfer" / "status.json").write_text(json.dumps(status))
    for path in (run, run / "transfer"):
        with pytest.raises(RunError, match=r"not finished \(step 20 of 40\).*or take .*/pretrain"):
            find_run(path)
    assert find_run(run, "pretrain").path == run / "pretrain"
    for path in study.glob("runs/*/*/result.json"):
        path.unlink()
    with pytest.raises(MergeError, match="none of its 12 runs is finished"):
        find_run(study)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("demo/runs", "did you mean {}/demo?"),
        ("", "did you mean {}/demo?"),
        ("demos", "no such folder, no recipe.json; expected .* did you mean {}/demo?"),
        ("demo/runs/fine-seed9", "did you mean {}/demo/runs/fine-seed"),
        ("other", "no recipe.json of a run here; expected the folder of a study"),
    ],
)
def test_a_folder_that_is_none_of_these(study, path, hint):
    (study.parent / "other").mkdir()
    with pytest.raises(RunError, match=hint.format(study.parent).replace("?", r"\?")):
        find_run(study.parent / path)


def test_a_damaged_recipe_is_no_bug(tmp_path):
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        find_run(tmp_path)
    with pytest.raises(UsageError, match=rf"{tmp_path}/recipe\.json: damaged \(.*expected JSON"):
        read_study(tmp_path)


@pytest.mark.parametrize("path", ["demos", ""])
def test_a_damaged_neighbour_does_not_matter(study, path):
    (study.parent / "a").mkdir()
    (study.parent / "a" / "recipe.json").write_text("{")
    with pytest.raises(RunError, match=rf"did you mean {study}\?"):
        find_run(study.parent / path)


def test_a_folder_in_a_bucket_is_to_be_copied():
    with pytest.raises(RunError, match=r"gs://bucket/demo: .* copy that folder here first"):
        find_run("gs://bucket/demo")
