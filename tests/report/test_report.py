"""Reports of study folders that were written in milliseconds: nothing is trained here."""

from __future__ import annotations

import base64
import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from fine2coarse.analysis.hard_images import hard_wins
from fine2coarse.analysis.merging import merge
from fine2coarse.analysis.statistics import compare
from fine2coarse.analysis.study_folder import read_study
from fine2coarse.files import is_partial, read_json, write_json
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.report import MergeError, gallery, record_command, write_report
from fine2coarse.report.learning import read_curves
from fine2coarse.report.main_result import best_arm
from tests.analysis.fake_study import ARMS, CANDIDATES, DIRECT, NUM_CLASSES, write_study

# A JPEG of one grey pixel, made by Pillow.
_PIXEL = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI////////////////////"
    "////////////////////////////////wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAA"
    "AAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AP//Z"
)


class Reader:
    """Gives the pixel for every image, and remembers what it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, image_ids):
        self.asked.append(list(image_ids))
        return dict.fromkeys(image_ids, _PIXEL)


@pytest.fixture
def no_drawing(monkeypatch):
    """Files of pictures hold next to nothing: for tests of words and tables."""
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **_: file.write(b"<svg/>"))
    monkeypatch.setattr(Figure, "draw_without_rendering", lambda self: None)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    workdir = write_study(tmp_path_factory.mktemp("studies") / "photos")
    record_command(workdir, "launch/study.py", ["--config=configs/folder.py", "--workdir=/x"])
    write_report(workdir, read_images=Reader())
    return workdir


def test_the_page_answers_first_and_holds_everything(study):
    text = (study / "report.html").read_text()
    body = text[text.index("<main") :]
    assert body.index('class="answer"') < body.index("<h2")
    assert "fine" in body[: body.index("</p>")].lower()
    command = "python launch/study.py --config=configs/folder.py --workdir=runs/photos"
    for needed in (command, "d" * 64, "f" * 64, "folder/photos/1.0.0", "numpy", "transfer_mode"):
        assert needed in text
    assert 'src="http' not in text and "<script" not in text
    assert "a<b>" not in text
    assert not [path for path in study.rglob("*") if is_partial(path.name)]
    picture = (study / "pictures" / "granularity.svg").read_text()
    assert "taxonomy level<" in picture and "other steps" not in picture


def test_the_tables_hold_what_the_runs_counted(study):
    rows = {row["arm"]: row for row in csv.DictReader((study / "table.csv").open())}
    wrong = [
        read_json(study / f"runs/fine-seed{seed}/transfer/result.json")["evaluation"]["num_wrong"]
        for seed in (0, 1, 2)
    ]
    assert float(rows["fine"]["error"]) == pytest.approx(np.mean(wrong) / 200)
    assert rows["baseline"]["difference"] == "" and rows["fine"]["num_seeds"] == "3"
    assert r"\toprule" in (study / "table.tex").read_text()
    costs = {row["arm"]: row for row in csv.DictReader((study / "tables" / "cost.csv").open())}
    assert float(costs["fine"]["seconds"]) == pytest.approx(22.0)  # 2 phases of 10, 11, 12 s
    assert float(costs["fine"]["flops"]) == 2 * 640 * 4e9
    assert float(costs["baseline"]["flops"]) == 640 * 8e9


def test_easy_and_hard_images_stand_with_their_controls(study):
    text = (study / "report.html").read_text()
    for needed in ("Mirror image:", "Random split:", "regression to the mean", "Within each class"):
        assert needed in text
    rows = list(csv.DictReader((study / "tables" / "controls-margin.csv").open()))
    assert {row["arm"] for row in rows} == set(ARMS)
    assert all(float(row["random_low"]) <= float(row["random_high"]) for row in rows)
    classes = list(csv.DictReader((study / "tables" / "superclasses.csv").open()))
    assert len(classes) == len(ARMS) * NUM_CLASSES


def test_the_gallery_shows_what_the_best_arm_wins(study):
    runs = read_study(study).runs
    wins = hard_wins(runs, "fine")[:12]
    text = (study / "report.html").read_text()
    assert len(wins) == 12 and text.count("data:image/jpeg;base64,") == 12
    predictions = runs[0].predictions.transferred
    row = list(predictions.image_ids).index(wins[0])
    truth = f"class{predictions.targets[row]}"
    alts = re.findall(r'alt="An image of (class\d)\. (baseline: class\d[^"]*)"', text)
    assert alts[0][0] == truth and f"fine: {truth}, right" in alts[0][1]
    assert "wrong" in alts[0][1].split(";")[0]


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """A study whose arms tried several transfers; `fine` is best as it is."""
    workdir = write_study(
        tmp_path_factory.mktemp("studies") / "tried", direct=DIRECT, candidates=True
    )
    write_report(workdir, read_images=Reader())
    return workdir


def read_table(workdir, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((workdir / name).open()))


def test_the_answer_names_the_better_use_and_the_table_has_both(tried):
    text = (tried / "report.html").read_text()
    answer = text[text.index('class="answer"') :].split("</p>")[0]
    assert "fine (32 classes), used directly, beat the baseline" in answer
    assert "held-out training images" in text and "transfer lost" not in text
    rows = {row["arm"]: row for row in read_table(tried, "table.csv")}
    assert rows["fine"]["better_use"] == "direct" and rows["fine"]["transfers"] == "direct"
    assert rows["middle"]["better_use"] == "transferred"
    middle = rows["middle"]
    assert float(middle["error"]) == pytest.approx(0.23)
    assert float(middle["direct_error"]) == pytest.approx(0.26)
    assert float(middle["direct_argmax_error"]) == pytest.approx(0.27)  # 2 of 200 more
    assert float(middle["transfer_change"]) == pytest.approx(-0.03)
    assert float(middle["direct_error_low"]) < 0.26 < float(middle["direct_error_high"])
    assert middle["direct_verdict"] == "lower" and rows["baseline"]["direct_error"] == ""
    assert "hollow" in (tried / "pictures" / "granularity.svg").read_text()


def test_every_transfer_that_was_tried_is_listed(tried):
    rows = [row for row in read_table(tried, "tables/candidates.csv") if row["arm"] == "middle"]
    assert tuple(row["transfer"] for row in rows) == CANDIDATES
    assert [row["num_chosen"] for row in rows] == ["0", "0", "3", "0"]
    assert float(rows[0]["test_error"]) == pytest.approx(0.26)
    new = (46 + 8 + 3) // 2 / 100  # of 46 wrong and those that the fake adds
    assert float(rows[3]["held_out_error"]) == pytest.approx(new)
    beside = {row["arm"]: row for row in read_table(tried, "tables/transfers.csv")}["middle"]
    found = [float(beside[name]) for name in ("direct_error", "chosen_error", "new_error")]
    assert found == pytest.approx([0.26, 0.23, 0.285])
    assert r"\toprule" in (tried / "tables" / "candidates.tex").read_text()
    assert "Transfers that were tried" in (tried / "report.html").read_text()


def test_trials_count_in_the_cost(tried):
    rows = {row["arm"]: row for row in read_table(tried, "tables/cost.csv")}
    assert rows["middle"]["images"] == "2560"  # 640 in pretraining, and three transfers trained
    assert rows["baseline"]["images"] == "2560"  # four trainings
    assert float(rows["middle"]["seconds"]) == pytest.approx(41.0)
    assert float(rows["middle"]["flops"]) == 2560 * 6e9


def test_easy_and_hard_images_of_both_uses(tried):
    rows = read_table(tried, "tables/gains-margin.csv")
    assert [(row["arm"], row["use"]) for row in rows] == [
        ("middle", "direct"), ("middle", "transferred"), ("fine", "direct"),
        ("random", "direct"), ("random", "transferred"),
    ]  # fmt: skip
    uses = {(row["arm"], row["use"]) for row in read_table(tried, "tables/superclasses.csv")}
    assert len(uses) == 6
    assert "fine (direct): class" in (tried / "report.html").read_text()


def test_learning_curves_are_read_where_training_was_logged(tmp_path):
    workdir = write_study(tmp_path / "s", seeds=(0,), direct=DIRECT, candidates=True)
    run = workdir / "runs" / "middle-seed0"
    (run / "trials").mkdir()
    (run / "transfer").rename(run / "trials" / "summed")
    (run / "transfer").mkdir()
    for name in ("recipe.json", "result.json", "predictions.npz"):
        (run / "transfer" / name).write_bytes((run / "trials/summed" / name).read_bytes())
    (workdir / "runs/fine-seed0/transfer/metrics.csv").unlink()  # used directly: none trained
    curves = {(curve.arm, curve.phase): curve for curve in read_curves(read_study(workdir).runs)}
    assert curves["middle", "transfer"].images.tolist() == [800, 960, 1120, 1280]
    assert ("fine", "transfer") not in curves and ("fine", "pretrain") in curves


def test_an_old_study_tells_what_its_transfer_lost(tmp_path, no_drawing):
    workdir = write_study(tmp_path / "old", direct={"middle": 0.3, "fine": 0.05, "random": 0.4})
    for path in workdir.rglob("pretrain/result.json"):
        kept = {k: v for k, v in read_json(path).items() if k not in ("direct_argmax", "held_out")}
        write_json(path, kept)
    text = write_report(workdir).read_text()
    assert "fine: transfer lost 12.0 points [" in text
    assert (
        "--config.transfer_head=summed" in text and "(a new head, all weights fine-tuned)" in text
    )
    rows = {row["arm"]: row for row in read_table(workdir, "table.csv")}
    assert rows["fine"]["direct_argmax_error"] == "" and rows["fine"]["transfers"] == "new"
    shown = [row["transfer"] for row in read_table(workdir, "tables/candidates.csv")]
    assert shown == ["straight", *3 * ["direct", "new"]]


def test_a_direct_use_without_predictions_has_its_mean(tmp_path, no_drawing):
    workdir = write_study(tmp_path / "counts", direct=DIRECT, predictions=False)
    assert "Least error: fine (direct)" in write_report(workdir).read_text()
    rows = {row["arm"]: row for row in read_table(workdir, "table.csv")}
    assert float(rows["fine"]["direct_error"]) == pytest.approx(0.12)
    assert rows["fine"]["direct_error_low"] == ""


def test_images_that_cannot_be_read_are_left_out_with_a_reason(tmp_path):
    def broken(image_ids):
        raise FileNotFoundError("/photos.tar is gone")

    runs = read_study(write_study(tmp_path / "s")).runs
    reason = gallery.store_wins(runs, [tmp_path], broken)
    best = best_arm(compare(runs))
    assert best.arm == "fine"
    shown = gallery.section(best, runs, [tmp_path], reason)
    assert "/photos.tar is gone" in shown[0] and "data:image/jpeg" not in shown[0]


def test_tensorboard_has_a_session_a_run(study):
    pytest.importorskip("tensorboard")
    sessions = sorted(path.name for path in (study / "tensorboard").iterdir() if path.is_dir())
    assert len(sessions) == 12 and "fine-seed0" in sessions


def test_old_folders_without_predictions_and_cost_have_a_report(tmp_path, no_drawing):
    workdir = write_study(tmp_path / "old", predictions=False, cost=False)
    text = write_report(workdir).read_text()
    assert "no predictions for single images" in text and "Least error: fine" in text
    rows = {row["arm"]: row for row in csv.DictReader((workdir / "table.csv").open())}
    assert rows["fine"]["error_low"] == "" and float(rows["fine"]["error"]) < 0.2
    costs = next(iter(csv.DictReader((workdir / "tables" / "cost.csv").open())))
    assert costs["flops"] == "" and float(costs["seconds"]) == 11.0


def test_one_seed_and_unfinished_runs_are_told(tmp_path, no_drawing):
    workdir = write_study(tmp_path / "one", seeds=(0,))
    (workdir / "runs/random-seed0/transfer/result.json").unlink()
    text = write_report(workdir).read_text()
    assert "Partial: 3 of 4 runs are finished; missing: random (seed 0)." in text
    assert "nan" not in text.lower().replace("finance", "")


def test_seeds_are_pooled_and_other_specs_told_apart(tmp_path):
    other_arms = {**ARMS, "random": {"source": "random", "options": {"as_many_as_level": "middle"}}}
    first = write_study(tmp_path / "first", seeds=(0, 1))
    second = write_study(tmp_path / "second", seeds=(1, 2), arms=other_arms)
    merged = merge([read_study(first), read_study(second)])
    seeds: dict[str, list[int]] = {}
    for run in merged.runs:
        seeds.setdefault(run.arm, []).append(run.seed)
    assert seeds == {
        "baseline": [0, 1, 2], "middle": [0, 1, 2], "fine": [0, 1, 2],
        "random (first)": [0, 1], "random (second)": [1, 2],
    }  # fmt: skip
    assert "3 runs (same arm, same seed)" in merged.notes[1]


def test_studies_of_one_name_are_told_apart_by_their_folders(tmp_path):
    others = {"random": {"source": "random", "options": {"as_many_as_level": "middle"}}}
    first = write_study(tmp_path / "a" / "s", seeds=(0,))
    second = write_study(tmp_path / "b" / "s", seeds=(0,), arms=others)
    merged = merge([read_study(first), read_study(second)])
    assert {"random (a/s)", "random (b/s)"} < set(merged.arms)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transfer_mode": "linear_probe"}, "transfer_mode is 'finetune' in a, 'linear_probe'"),
        ({"target": {"source": "level", "options": {"level": "x"}}}, "target.options.level"),
        ({"num_images": 180}, "200 test images in a, 180 in b"),
        ({"direct": DIRECT, "candidates": True}, "transfer_candidates is 'off' in a, 'auto' in b"),
        ({"transfer_head": "summed"}, "transfer_head is 'new' in a, 'summed' in b"),
    ],
)
def test_studies_of_other_questions_are_refused(tmp_path, change, message):
    first, second = write_study(tmp_path / "a"), write_study(tmp_path / "b", **change)
    with pytest.raises(MergeError, match=message):
        write_report(first, second, out=tmp_path / "out")
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_transfer_is_the_same_whatever_the_age_of_its_recipe(tmp_path):
    new = {"transfer_head": "new", "transfer_candidates": "auto", "transfer_choices": {}}
    first = write_study(tmp_path / "a", seeds=(0,))
    second = write_study(tmp_path / "b", seeds=(1,), transfer_validation_share=0.1, **new)
    assert len(merge([read_study(first), read_study(second)]).runs) == 8


def test_a_study_of_an_earlier_schema_merges_with_one_of_this(tmp_path):
    first = write_study(tmp_path / "a", seeds=(0,))
    second = write_study(tmp_path / "b", seeds=(1,))
    recipe = Recipe.from_stored(read_json(second / "recipe.json")).stored()
    assert recipe["schema_version"] > 1 and "precision" in recipe, "the earlier one has neither"
    write_json(
        second / "recipe.json", recipe | {"pretrain": {**recipe["pretrain"], "log_every_steps": 7}}
    )
    merged = merge([read_study(first), read_study(second)])
    assert len(merged.runs) == 8 and set(merged.arms) == set(ARMS)
    write_json(second / "recipe.json", recipe | {"precision": "mixed_bfloat16"})
    with pytest.raises(MergeError, match="precision is 'float32' in a, 'mixed_bfloat16' in b"):
        merge([read_study(first), read_study(second)])


def test_another_dataset_is_refused(tmp_path):
    first, second = write_study(tmp_path / "a"), write_study(tmp_path / "b")
    recipe = second / "runs/baseline-seed0/baseline/recipe.json"
    write_json(recipe, json.loads(recipe.read_text()) | {"dataset_fingerprint": "e" * 64})
    with pytest.raises(MergeError, match="dataset fingerprint"):
        merge([read_study(first), read_study(second)])


def test_folders_without_a_study_or_finished_runs_are_told(tmp_path):
    with pytest.raises(MergeError, match=r"no recipe\.json"):
        write_report(tmp_path)
    workdir = write_study(tmp_path / "s", seeds=(0,), arms={"fine": ARMS["fine"]})
    for result in workdir.rglob("result.json"):
        result.unlink()
    with pytest.raises(MergeError, match="none of its 2 runs is finished"):
        write_report(workdir)


def test_a_report_is_remade_alike_and_without_tensorflow(study, tmp_path):
    code = (
        "import pathlib, sys; from fine2coarse.report import write_report\n"
        f"write_report(pathlib.Path({str(study)!r}), out=pathlib.Path({str(tmp_path)!r}))\n"
        "print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
    for name in ("report.html", "table.csv", "table.tex", "granularity.png"):
        assert (tmp_path / name).read_bytes() == (study / name).read_bytes()
