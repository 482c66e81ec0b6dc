"""launch/levels.py and launch/prepare.py as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.datasets import fakes
from tests.launch.programs import ROOT, help_of, launch


def test_levels_of_imagenet21k(shared_data):
    synsets = shared_data / "imagenet21k_synsets.txt"
    arguments = ("--taxonomy=imagenet21k", f"--synsets={synsets}", "--format=json")
    levels = json.loads(launch("levels", *arguments).stdout)
    assert [level["num_classes"] for level in levels[:5]] == [21843, 5995, 2281, 1038, 519]
    assert [level["level"] for level in levels] == [str(number) for number in range(13)]
    assert levels[1]["multi_label_leaves"] == 453
    assert levels[1]["max_labels"] == 3


def test_levels_of_inat2021(shared_data):
    categories = shared_data / "inat2021" / "categories.csv"
    shown = launch("levels", "--taxonomy=inat2021", f"--categories={categories}").stdout
    genus = next(line for line in shown.splitlines() if line.startswith("genus"))
    assert genus.split()[1:3] == ["4900", "4884"]


def test_a_node_and_its_labels():
    shown = launch("levels", "--taxonomy=imagenet21k", "--node=n02084071").stdout
    assert "parents: n02083346 (canine, canid), n01317541 (domestic animal" in shown
    assert shown.count("path: ") == 2
    assert "level 1: n01317541" in shown


def test_levels_of_a_csv(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("fine,coarse\na,x\nb,x\nc,y\n")
    levels = json.loads(launch("levels", f"--taxonomy={path}", "--format=json").stdout)
    assert [level["num_classes"] for level in levels] == [3, 2]


_EDGES = "poodle dog\nbeagle dog\ndog mammal\ntabby cat\ncat mammal\nwren bird\n"


def test_levels_of_an_edge_list(tmp_path):
    path = tmp_path / "is_a.txt"
    path.write_text(_EDGES)
    shown = launch("levels", f"--taxonomy={path}", "--all_levels")
    assert [line.split()[:2] for line in shown.stdout.splitlines()[3:]] == [
        ["0", "4"], ["1", "3"], ["2", "2"], ["depth:2", "4"], ["depth:1", "3"], ["depth:0", "2"],
    ]  # fmt: skip
    assert f"{path}: read as edges (child,parent: each name of the first column" in shown.stderr
    node = launch("levels", f"--taxonomy={path}", "--node=wren", "--all_levels").stdout
    assert "level 1: bird\n" in node and "level depth:1: wren\n" in node
    asked = (f"--taxonomy={path}", "--taxonomy_format=parent_child", "--format=json")
    assert json.loads(launch("levels", *asked).stdout)[0]["num_classes"] == 2  # mammal and bird


def test_levels_of_shards_before_they_are_prepared(tmp_path):
    (tmp_path / "shards").mkdir()
    files = []
    for number in range(6):
        label = b"dog" if number < 4 else b"cat"
        files += [(f"{number}.cls", label), (f"{number}.jpg", fakes.jpeg(number))]
    (tmp_path / "shards" / "train-0.tar").write_bytes(fakes.tar_bytes(files))
    shown = launch(
        "levels",
        "--config=labels",
        "--dataset=webdataset",
        f"--config.dataset.options.source={tmp_path}/shards",
        f"--data_dir={tmp_path}/data",
    )
    assert shown.stdout.splitlines() == [
        "1 WebDataset shards: train 6; 2 leaves; class sizes in images of train",
        "level  classes  smallest  median  largest class",
        "-----------------------------------------------",
        "class        2         2       3              4",
    ]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            "a folder (or tar or zip) with a taxonomy.csv, FILE.csv, imagenet21k, inat2021 or demo",
        ),
        (["--taxonomy=birds"], "--taxonomy=birds: nothing is there"),
        (["--taxonomy=inat2021"], "needs --categories=FILE"),
        (["--taxonomy=birds.csv"], "No such file"),
        (["--taxonomy=imagenet21k", "--node=n1"], "no node 'n1'"),
        (["--taxonomy=imagenet21k", "--categories=x"], "goes with --taxonomy=inat2021"),
        (["--taxonomy=demo", "--taxonomy_format=edges"], "--taxonomy_format goes with a file"),
        (["--taxonomy=x.csv", "--taxonomy_format=edge"], "auto|levels|edges|parent_child"),
    ],
)
def test_mistakes_in_levels_are_told(arguments, message):
    shown = launch("levels", *arguments)
    assert shown.returncode != 0
    assert message in shown.stdout + shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize("program", ["levels", "prepare", "wordnet_table"])
def test_help_imports_nothing_heavy(program):
    assert not help_of(program)[1]


def test_prepare_and_its_summary(tmp_path):
    files = fakes.small_files(3)
    files["n01443537"]["n01443537_0.JPEG"] = b"no image"
    fakes.whole_tar(tmp_path / "manual", files)
    summary = tmp_path / "summary.json"
    arguments = (
        "--dataset=imagenet21k/present_level2",
        f"--manual_dir={tmp_path / 'manual'}",
        f"--data_dir={tmp_path / 'data'}",
        "--num_validation=2",
        f"--summary={summary}",
    )
    shown = launch("prepare", *arguments)
    assert shown.returncode == 0, shown.stderr
    assert "examples    train 9, validation 2" in shown.stdout
    assert "skipped     not an image 1" in shown.stdout
    assert "needed" in shown.stderr
    found = json.loads(summary.read_text())
    assert found.pop("seconds") > 0
    assert found.pop("folder") == str(tmp_path / "data/imagenet21k/present_level0/2.0.0")
    assert [item["name"] for item in found.pop("compared")] == ["fall11", "winter21"]
    assert found == {
        "dataset": "imagenet21k/present_level2/2.0.0",
        "source": "tar of per-synset tars",
        "num_files": 12,
        "splits": {"train": 9, "validation": 2},
        "num_classes": 4,
        "classes_seen": 4,
        "skipped": {"not an image": 1},
        "transcoded": {},
        "duplicate_groups": 0,
        "duplicate_files": 0,
        "duplicates_across": {},
    }


def test_prepare_by_a_rule(tmp_path):
    files = fakes.small_files(3)
    del files["n01443537"]["n01443537_0.JPEG"]
    fakes.whole_tar(tmp_path / "manual", files)
    shown = launch(
        "prepare",
        "--dataset=imagenet21k",
        "--min_images_per_class=3",
        "--num_validation_per_class=1",
        f"--manual_dir={tmp_path / 'manual'}",
        f"--data_dir={tmp_path / 'data'}",
    )
    assert shown.returncode == 0, shown.stderr
    assert "in " + str(tmp_path / "data/imagenet21k/min3_val1_level0/2.0.0") in shown.stdout
    assert "published 14,197,122 images of 21,841 classes, here 11 of 4" in shown.stdout
    assert "examples    train 6, validation 3" in shown.stdout
    assert "classes     3 seen of 3" in shown.stdout
    assert "skipped     class of too few images 2" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=cifar"], "--dataset is one of imagenet21k, inat2021; got cifar"),
        (["--dataset=inat2021"], "--data_dir=FOLDER says where"),
        (["--dataset=imagenet21k", "--data_dir=x"], "needs --manual_dir=FOLDER"),
        (["--dataset=inat2021", "--data_dir=x", "--manual_dir=nowhere"], "no folder nowhere"),
        (["--dataset=inat2021", "--data_dir=x", "--num_workers=0"], "positive integer"),
        (["--dataset=inat2021", "--data_dir=x", "more"], "unexpected arguments: ['more']"),
        (["--dataset=inat2021/tribe", "--data_dir=x"], "inat2021 has no 'tribe'; it has"),
        (["--dataset=imagenet21k/x", "--data_dir=x"], "it has level0 to level12, and each with"),
        (["--dataset=inat2021", "--min_images_per_class=5"], "is for --dataset=imagenet21k"),
        (["--dataset=imagenet21k", "--min_images_per_class=0"], "not a positive integer"),
        (
            ["--dataset=imagenet21k/21k_p_level0", "--min_images_per_class=5"],
            "has a rule of its own; leave --min_images_per_class=5 out",
        ),
        pytest.param(
            ["--dataset=inat2021", "--data_dir=x", "--splits=test"],
            "no splits ['test']",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_mistakes_in_prepare_are_told(arguments, message, tmp_path):
    arguments = [argument.replace("data_dir=x", f"data_dir={tmp_path}") for argument in arguments]
    shown = launch("prepare", *arguments)
    assert shown.returncode != 0
    assert message in shown.stdout + shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_reader_that_has_seen_enough_is_no_bug():
    command = [sys.executable, "launch/levels.py", "--taxonomy=imagenet21k"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()  # as `| head` does, before anything is printed
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 141
