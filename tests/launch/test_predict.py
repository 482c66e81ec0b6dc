"""launch/predict.py as a user meets it: help, mistakes, a file to write."""

from __future__ import annotations

import csv

import pytest
from PIL import Image

from fine2coarse.models import BackboneSpec
from tests.exported_runs import write_run
from tests.launch.programs import help_of, launch


def test_help_imports_nothing_heavy():
    text, imported = help_of("predict")
    assert "--top" in text and not imported


def test_a_csv_file_with_flags_behind_the_photographs(tmp_path):
    write_run(tmp_path / "run", BackboneSpec("resnet_tiny", 8))
    Image.effect_noise((20, 10), 64).save(tmp_path / "photo.png")
    out = tmp_path / "classes.csv"
    arguments = [str(tmp_path / "photo.png"), f"--run={tmp_path / 'run'}", f"--out={out}"]
    done = launch("predict", *arguments)
    assert done.returncode == 0, done.stderr
    assert not done.stdout and "classes.csv: 1 row" in done.stderr
    with out.open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["file"] == arguments[0] and {"class", "probability_4"} <= row.keys()
    assert {row["class"], row["class_2"], row["class_3"], row["class_4"]} == {
        "ant",
        "bee\nline",
        "cat",
        "dog",
    }
    total = sum(float(row[f"probability{number}"]) for number in ("", "_2", "_3", "_4"))
    assert total == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run={run}"], "name the images"),
        (["{photo}"], "--run must have a value"),
        (["--run={run}", "{folder}/phot.png"], "did you mean {folder}/photo.png?"),
        (["--run={folder}", "{photo}"], "did you mean {run}?"),
        (["--run={run}", "{run}/recipe.json"], "is no image"),
        (["--run={run}", "--out={folder}", "{photo}"], "is a folder"),
        (["--run={run}", "--out={folder}/a/b.csv", "{photo}"], "there is no folder"),
        (["--run={run}", "--top=0", "{photo}"], "--top=0"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, arguments, message):
    write_run(tmp_path / "run", BackboneSpec("resnet_tiny", 8))
    Image.effect_noise((20, 10), 64).save(tmp_path / "photo.png")
    names = {"run": tmp_path / "run", "photo": tmp_path / "photo.png", "folder": tmp_path}
    done = launch("predict", *[text.format(**names) for text in arguments])
    assert done.returncode == 2 and not done.stdout
    assert message.format(**names) in done.stderr.splitlines()[-1]
