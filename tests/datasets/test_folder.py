"""One's own photographs: two layouts, one result, and every mistake named."""

from __future__ import annotations

import pathlib
import shutil
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.datasets.folder import FolderError
from fine2coarse.datasets.open import open_dataset
from fine2coarse.datasets.prepared import DatasetError
from fine2coarse.taxonomy import TaxonomyError

TAXONOMY = "fine,coarse\napple,fruit\npear,fruit\nleek,vegetable\n"


def jpeg(value: int) -> bytes:
    return tf.io.encode_jpeg(np.full((9, 12, 3), value, np.uint8), quality=100).numpy()


@pytest.fixture
def photos(tmp_path) -> pathlib.Path:
    """Three classes, three training images and one test image each."""
    root = tmp_path / "photos"
    for label, name in enumerate(("apple", "pear", "leek")):
        for split, count in (("train", 3), ("test", 1)):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                path = root / split / name / f"{number}.jpg"
                path.write_bytes(jpeg(60 * label + 5 * number))
    (root / "taxonomy.csv").write_text(TAXONOMY)
    return root


def opened(source: pathlib.Path, tmp_path: pathlib.Path, **options):
    return open_dataset("folder", {"source": str(source), **options}, str(tmp_path / "data"))


def contents(dataset) -> list[tuple[bytes, int, bytes]]:
    rows = dataset.read("train").as_numpy_iterator()
    return sorted((row["image_id"], int(row["label"]), row["image"]) for row in rows)


def test_folder_counts_labels_and_bytes(photos, tmp_path):
    dataset = opened(photos, tmp_path)
    assert dataset.splits == {"train": 9, "test": 3}
    assert dataset.taxonomy.levels == ("fine", "coarse")
    by_id = {image_id: (label, data) for image_id, label, data in contents(dataset)}
    label, data = by_id[b"train/pear/2.jpg"]
    assert dataset.taxonomy.leaf_ids[label] == "fruit/pear"
    assert data == (photos / "train/pear/2.jpg").read_bytes()


@pytest.mark.parametrize("prefix", ["", "./", "photos/"])
def test_a_tar_gives_the_same(photos, tmp_path, prefix):
    path = tmp_path / "photos.tar"
    with tarfile.open(path, "w") as archive:
        for file in sorted(photos.rglob("*")):
            archive.add(file, prefix + file.relative_to(photos).as_posix(), recursive=False)
    assert contents(opened(path, tmp_path, name="tar")) == contents(opened(photos, tmp_path))


def test_prepared_once_and_then_read_without_its_images(photos, tmp_path):
    first = contents(opened(photos, tmp_path))
    shutil.rmtree(photos / "train")
    assert contents(opened(photos, tmp_path)) == first


def test_png_is_taken_as_jpeg(photos, tmp_path):
    png = tf.io.encode_png(np.full((9, 12, 3), 77, np.uint8)).numpy()
    (photos / "train/apple/3.png").write_bytes(png)
    rows = {row[0]: row[2] for row in contents(opened(photos, tmp_path))}
    assert rows[b"train/apple/3.png"].startswith(b"\xff\xd8")


def test_unreadable_images_are_named_counted_and_skipped(photos, tmp_path, capsys):
    (photos / "train/apple/bad.jpg").write_bytes(jpeg(1)[:200])
    (photos / "train/apple/text.jpg").write_text("no image")
    dataset = opened(photos, tmp_path, max_skipped_share=0.5)
    assert dataset.splits["train"] == 9
    assert "2 of 11 images of train skipped" in capsys.readouterr().out
    skipped = next((tmp_path / "data").rglob("skipped.csv")).read_text()
    assert "train/apple/bad.jpg" in skipped and "train/apple/text.jpg" in skipped


def test_too_many_unreadable_images_stop_it(photos, tmp_path):
    (photos / "train/apple/text.jpg").write_text("no image")
    with pytest.raises(FolderError, match=r"train/apple/text.jpg .*max_skipped_share=0.05"):
        opened(photos, tmp_path, max_skipped_share=0.05)
    (photos / "train/apple/text.jpg").unlink()
    assert opened(photos, tmp_path, max_skipped_share=0.05).splits["train"] == 9


def test_a_class_folder_without_row_is_named(photos, tmp_path):
    (photos / "train" / "kiwi").mkdir()
    (photos / "train" / "kiwi" / "1.jpg").write_bytes(jpeg(3))
    with pytest.raises(FolderError, match="train/kiwi"):
        opened(photos, tmp_path)


def test_an_empty_class_is_named(photos, tmp_path):
    shutil.rmtree(photos / "train" / "pear")
    with pytest.raises(FolderError, match=r"classes without images: .*train/pear"):
        opened(photos, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TAXONOMY + "pear,vegetable\n", r"row 5: fine 'pear' has two parents"),
        ("fine,coarse\napple,pear\npear,apple\nleek,x\n", r"row 3: a cycle"),
        (TAXONOMY + "kiwi,\n", r"row 5: expected 2 names"),
    ],
)
def test_mistakes_in_the_taxonomy_name_the_row(photos, tmp_path, text, message):
    (photos / "taxonomy.csv").write_text(text)
    with pytest.raises(TaxonomyError, match=message):
        opened(photos, tmp_path)


def test_a_taxonomy_changed_after_preparing_is_noticed(photos, tmp_path):
    opened(photos, tmp_path)
    (photos / "taxonomy.csv").write_text(TAXONOMY.replace("leek,vegetable", "leek,stem"))
    with pytest.raises(FolderError, match="changed since"):
        opened(photos, tmp_path)


def test_what_is_missing_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FolderError, match=r"no taxonomy.csv"):
        opened(tmp_path / "empty", tmp_path)
    with pytest.raises(FolderError, match="no such folder or tar file"):
        opened(tmp_path / "nothing", tmp_path)


def test_names_and_options_are_checked(tmp_path):
    with pytest.raises(DatasetError, match="did you mean 'folder'"):
        open_dataset("foldr", {}, str(tmp_path))
    with pytest.raises(DatasetError, match="num_trian"):
        open_dataset("demo", {"num_trian": 3}, str(tmp_path))


def test_unknown_split_lists_what_there_is(photos, tmp_path):
    with pytest.raises(DatasetError, match=r"no split 'val'; it has \['test', 'train'\]"):
        opened(photos, tmp_path).read("val")


def test_flat_folder_needs_no_taxonomy(photos, tmp_path):
    (photos / "taxonomy.csv").unlink()
    dataset = opened(photos, tmp_path, flat=True)
    assert dataset.taxonomy.leaf_ids == ("apple", "leek", "pear")
    labels = {image_id: label for image_id, label, _ in contents(dataset)}
    assert labels[b"train/leek/0.jpg"] == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(FolderError, match="no images as"):
        opened(tmp_path / "empty", tmp_path, flat=True)
