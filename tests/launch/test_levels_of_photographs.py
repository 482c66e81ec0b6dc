"""launch/levels.py on a folder or archive of photographs, on the demo and on prepared data."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest

from tests.datasets import fakes
from tests.launch.programs import launch

_TABLE = "species,kind\nrobin,bird\nwren,bird\noak,tree\n"
_COUNTS = {"robin": 3, "wren": 1, "oak": 2}


@pytest.fixture
def photos(tmp_path) -> pathlib.Path:
    folder = tmp_path / "photos"
    for name, count in _COUNTS.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"{number}.jpg").write_bytes(fakes.jpeg(number))
    (folder / "taxonomy.csv").write_text(_TABLE)
    return folder


def levels(path: pathlib.Path, *more: str):
    return launch("levels", f"--taxonomy={path}", *more)


def test_images_of_each_level_are_counted(photos):
    shown = levels(photos).stdout.splitlines()
    assert shown[0] == f"{photos} (folder): 6 image files of 3 leaves; class sizes in images"
    assert [line.split() for line in shown[3:]] == [
        ["species", "3", "1", "2", "3"],
        ["kind", "2", "2", "3", "4"],
    ]
    (species, kind) = json.loads(levels(photos, "--format=json").stdout)
    assert (species["fewest_images"], species["most_images"]) == (1, 3)
    assert (kind["num_classes"], kind["largest_class"], kind["most_images"]) == (2, 2, 4)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_is_listed_as_its_folder_is(photos, tmp_path, kind):
    packed = shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path, "photos")
    shown = levels(pathlib.Path(packed)).stdout.splitlines()
    assert f"({kind}): 6 image files of 3 leaves" in shown[0]
    assert shown[3:] == levels(photos).stdout.splitlines()[3:]


def test_what_cannot_be_prepared_is_told(photos):
    shutil.rmtree(photos / "oak")
    (photos / "elm").mkdir()
    (photos / "elm" / "0.jpg").write_bytes(fakes.jpeg(7))
    (photos / "notes.txt").write_text("x")
    shown = levels(photos)
    assert shown.returncode == 0
    assert "classes without images: 'oak'; add images" in shown.stdout
    assert "folders that are no class of taxonomy.csv: 'elm'; add rows" in shown.stdout
    assert "in no class folder: 1 files" in shown.stdout
    assert ["species", "3", "0", "1", "3"] in [line.split() for line in shown.stdout.splitlines()]


def test_of_split_folders_the_training_images_count(photos):
    for name in _COUNTS:
        shutil.copytree(photos / name, photos / "test" / name)
        (photos / "train").mkdir(exist_ok=True)
        (photos / name).rename(photos / "train" / name)
    (photos / "test" / "robin" / "more.jpg").write_bytes(fakes.jpeg(8))
    shown = levels(photos).stdout.splitlines()
    assert (
        "13 image files (train 6, test 7) of 3 leaves; class sizes in images of train/" in shown[0]
    )
    assert shown[3].split() == ["species", "3", "1", "2", "3"]


def test_a_folder_without_a_table(tmp_path):
    shown = levels(tmp_path)
    assert shown.returncode == 2
    assert "no taxonomy.csv (columns: the levels, finest first)" in shown.stderr
    assert "as in species,kind and below it robin,bird" in shown.stderr


def test_the_demo():
    shown = launch("levels", "--taxonomy=demo", "--format=json")
    found = {level["level"]: level["num_classes"] for level in json.loads(shown.stdout)}
    assert found == {"fine": 32, "middle": 8, "superclass": 4}


def test_datasets_without_a_taxonomy_of_their_own_say_how():
    shown = launch("levels", "--taxonomy=tfds")
    assert shown.returncode == 2
    assert "--config=CARD --data_dir=FOLDER, without --taxonomy" in shown.stderr


def test_prepared_data(tmp_path):
    from fine2coarse.datasets.open import open_prepared

    options = {"num_train": 40, "num_test_easy": 8, "num_test_hard": 8, "seed": 0}
    flags = [f"--config.dataset.options.{name}={value}" for name, value in options.items()]
    arguments = ("levels", "--config=demo", *flags, f"--data_dir={tmp_path}")
    assert "demo is not prepared" in launch(*arguments).stderr
    open_prepared("demo", options, str(tmp_path))
    shown = launch(*arguments).stdout.splitlines()
    assert shown[0].endswith(": 32 leaves; class sizes in images of the split train")
    # 40 images one after the other: eight fine classes, of the first superclass, have two.
    assert shown[3].split() == ["fine", "32", "1", "1", "2"]
    assert shown[5].split() == ["superclass", "4", "8", "8", "16"]
