"""iNaturalist's archives under their other usual names, before anything is downloaded."""

from __future__ import annotations

import pytest

from fine2coarse.archives.archives import SourceError
from fine2coarse.datasets.inat2021_files import archive_and_part, find_manual_files

ALL = {"train": "train", "mini": "train_mini", "val": "val"}


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [
        ("train.tgz", ("train", "images")),
        ("train.zip", ("train", "images")),
        ("train (1).tar.gz", ("train", "images")),
        ("inat2021_train.tar.gz", ("train", "images")),
        ("2021_train.tar.gz", ("train", "images")),
        ("train_images.tar.xz", ("train", "images")),
        ("train_mini-1.tar.gz", ("train_mini", "images")),
        ("Train-Mini.tar", ("train_mini", "images")),
        ("inaturalist_2021_train_mini.zip", ("train_mini", "images")),
        ("train_mini.json", ("train_mini", "annotations")),
        ("train.json.gz", ("train", "annotations")),
        ("train.json (1).tar.gz", ("train", "annotations")),
        ("validation.json.zip", ("val", "annotations")),
        ("public_test.tar.gz", ("public_test", "images")),
        ("train.tar.gz.part", ("", "")),
        ("train2.tar.gz", ("", "")),
        ("train_mini_train.tar.gz", ("", "")),
        ("birds.tar.gz", ("", "")),
    ],
)
def test_names(file_name, expected):
    assert archive_and_part(file_name) == expected


def touch(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"x")


def test_the_competitions_own_names_are_taken_silently(tmp_path, told):
    touch(tmp_path, "val.tar.gz", "val.json.tar.gz", "val (1).tar.gz", "notes.txt")
    found = find_manual_files(tmp_path, ALL)
    assert found == {
        "train": {},
        "mini": {},
        "val": {
            "images": tmp_path / "val.tar.gz",
            "annotations": tmp_path / "val.json.tar.gz",
        },
    }
    assert told() == []


def test_train_mini_is_not_taken_for_train(tmp_path):
    touch(tmp_path, "train_mini.tgz", "train_mini.json.gz")
    found = find_manual_files(tmp_path, ALL)
    assert found["train"] == found["val"] == {}
    assert found["mini"] == {
        "images": tmp_path / "train_mini.tgz",
        "annotations": tmp_path / "train_mini.json.gz",
    }


def test_an_unpacked_folder_is_the_images(tmp_path):
    (tmp_path / "val").mkdir()
    touch(tmp_path, "val.json")
    assert find_manual_files(tmp_path, {"val": "val"})["val"]["images"] == tmp_path


def test_several_files_for_one_are_an_error(tmp_path):
    touch(tmp_path, "train.tgz", "train (1).zip")
    with pytest.raises(
        SourceError, match=r"has train \(1\).zip, train.tgz: each may be the images"
    ):
        find_manual_files(tmp_path, ALL)
    (tmp_path / "train.tgz").rename(tmp_path / "train.tar.gz")  # as the error says
    assert find_manual_files(tmp_path, ALL)["train"] == {"images": tmp_path / "train.tar.gz"}


def test_files_of_which_nothing_can_be_made_are_an_error_where_something_is_missing(tmp_path):
    touch(tmp_path, "train.tar.gz.part", "train.json.tar.gz")
    with pytest.raises(SourceError) as caught:
        find_manual_files(tmp_path, {"train": "train"})
    assert "train.tar.gz.part, not recognised, and no train.tar.gz" in str(caught.value)
    assert "\n" not in str(caught.value)
    (tmp_path / "train.tar.gz.part").rename(tmp_path / "train.tar.gz")
    touch(tmp_path, "birds.tar.gz")  # nothing is missing: it may lie there
    assert len(find_manual_files(tmp_path, {"train": "train"})["train"]) == 2


@pytest.mark.parametrize(
    ("folder", "is_beside"),
    [("inat2021_train", False), ("inat/train", False), ("data/inat2021", True), ("docs", True)],
)
def test_folders_that_may_hold_the_images_are_said(tmp_path, folder, is_beside):
    (tmp_path / folder).mkdir(parents=True)
    if is_beside:
        assert find_manual_files(tmp_path, {"train": "train"}) == {"train": {}}
    else:
        with pytest.raises(SourceError, match=f"has {folder.split('/')[0]}, not recognised"):
            find_manual_files(tmp_path, {"train": "train"})


def test_an_empty_folder_asks_for_the_download(tmp_path):
    assert find_manual_files(tmp_path, ALL) == {"train": {}, "mini": {}, "val": {}}
    with pytest.raises(SourceError, match="leave manual_dir out to download"):
        find_manual_files(tmp_path / "nowhere", ALL)
