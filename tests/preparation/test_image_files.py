"""Images as a user names them: files, folders, and what is none."""

from __future__ import annotations

import pathlib
import zipfile

import pytest

from fine2coarse.preparation.image_files import ImageFilesError, find_images

_PNG = b"\x89PNG\r\n\x1a\n and so on"
_JPEG = b"\xff\xd8\xff and so on"


@pytest.fixture
def photos(tmp_path, monkeypatch) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    (folder / "c.jpg").write_bytes(_JPEG)
    (folder / "b" / "2.txt").write_bytes(_PNG)  # content counts, not the name
    (folder / "b" / "1").write_bytes(_PNG)
    (folder / "notes.jpg").write_text("a text")
    (folder / ".hidden.png").write_bytes(_PNG)
    return folder


def test_a_folder_by_names_as_it_was_given(photos):
    found = find_images("photos")
    assert [image.name for image in found.images] == [
        "photos/b/1",
        "photos/b/2.txt",
        "photos/c.jpg",
    ]
    assert [image.image_id for image in found.images] == ["b/1", "b/2.txt", "c.jpg"]
    assert found.passed_over == (
        "1 hidden file (photos/.hidden.png) and 1 file that is no image (photos/notes.jpg)"
    )


def test_files_in_the_order_given_and_none_twice(photos):
    paths = ["photos/c.jpg", pathlib.Path("photos/b"), photos / "b" / "1"]
    assert [image.name for image in find_images(paths).images] == [
        "photos/c.jpg",
        "photos/b/1",
        "photos/b/2.txt",
    ]


def test_a_home_folder_is_expanded(photos, monkeypatch):
    monkeypatch.setenv("HOME", str(photos))
    assert find_images("~/c.jpg").images[0].path == photos / "c.jpg"


def test_many_others_are_counted(photos):
    for number in range(6):
        (photos / f"{number}.csv").write_text("x")
    told = find_images("photos").passed_over
    assert "7 files that are no images (photos/0.csv, photos/1.csv, photos/2.csv, …)" in told


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("photos/d.jpg", r"no such file or folder; did you mean photos/c\.jpg\?"),
        ("photo", r"no such file or folder; did you mean photos\?"),
        ("nowhere/x.jpg", "no such file or folder$"),
        ("photos/notes.jpg", "is no image; expected JPEG, PNG, "),
        ("empty.jpg", "is an empty file"),
        ("some.zip", "is no image but a zip: unpack it and give the folder"),
        ("texts", r"no image in this folder or below it, but 1 file that is no image \(texts/a\)"),
        ("nothing", "no image in this folder or below it, but nothing at all"),
    ],
)
def test_what_is_no_image(photos, path, message):
    root = photos.parent
    (root / "empty.jpg").touch()
    (root / "texts").mkdir()
    (root / "texts" / "a").write_text("a")
    (root / "nothing").mkdir()
    with zipfile.ZipFile(root / "some.zip", "w") as archive:
        archive.writestr("a.jpg", _JPEG)
    with pytest.raises(ImageFilesError, match=message):
        find_images(path)


def test_a_named_file_that_is_no_image_is_passed_over_beside_one_that_is(photos):
    (photos.parent / "empty.jpg").touch()
    named = ["empty.jpg", "photos/c.jpg", "photos/notes.jpg"]
    with pytest.raises(ImageFilesError, match=r"empty\.jpg is an empty file"):
        find_images(named)  # a row of numbers for each path would stand beside another
    found = find_images(named, pass_over=True)
    assert [image.name for image in found.images] == ["photos/c.jpg"]
    assert found.others == ["empty.jpg", "photos/notes.jpg"]


def test_a_locked_file_is_left_to_whoever_reads_it(photos, monkeypatch):
    def locked(self, *args, **kwargs):
        if self.name == "c.jpg":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **kwargs)

    opened = pathlib.Path.open
    monkeypatch.setattr(pathlib.Path, "open", locked)
    assert "photos/c.jpg" in [image.name for image in find_images("photos").images]
    with pytest.raises(PermissionError):
        find_images("photos/c.jpg")


def test_nothing_is_named():
    with pytest.raises(ImageFilesError, match="no images are named"):
        find_images([])
