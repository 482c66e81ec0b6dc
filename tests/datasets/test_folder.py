"""One's own photographs: one result from every layout, every file accounted for, mistakes named."""

from __future__ import annotations

import io
import os
import pathlib
import shutil
import tarfile
import unicodedata
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fine2coarse.archives.archives import Archive, SourceError
from fine2coarse.datasets.folder_layout import FolderError
from fine2coarse.datasets.open import open_dataset
from fine2coarse.datasets.prepared import DatasetError
from fine2coarse.errors import RecipeError
from fine2coarse.preparation.source_state import SourceState
from fine2coarse.taxonomy import TaxonomyError
from tests.datasets import fakes

TAXONOMY = "fine,coarse\napple,fruit\npear,fruit\nleek,vegetable\n"


def jpeg(value: int) -> bytes:
    """All of one size in bytes."""
    image = Image.new("RGB", (12, 9), (value, value, 7))
    return fakes.encode(image, "JPEG", quality=95).ljust(680, b"\0")


@pytest.fixture
def photos(tmp_path) -> pathlib.Path:
    """Three classes, three training images and one test image each, no two alike."""
    root = tmp_path / "photos"
    for label, name in enumerate(("apple", "pear", "leek")):
        for split, numbers in (("train", (0, 1, 2)), ("test", (3,))):
            (root / split / name).mkdir(parents=True)
            for number in numbers:
                path = root / split / name / f"{number}.jpg"
                path.write_bytes(jpeg(60 * label + 15 * number))
    (root / "taxonomy.csv").write_text(TAXONOMY)
    return root


def opened(source: pathlib.Path, tmp_path: pathlib.Path, **options):
    return open_dataset("folder", {"source": str(source), **options}, str(tmp_path / "data"))


def contents(dataset, split: str = "train") -> list[tuple[bytes, int, bytes]]:
    rows = dataset.read(split).as_numpy_iterator()
    return sorted((row["image_id"], int(row["label"]), row["image"]) for row in rows)


def skipped(dataset) -> dict[str, str]:
    return fakes.skipped(dataset.builder.data_dir)


def tar_of(photos: pathlib.Path, path: pathlib.Path, mode: str = "w", prefix: str = ""):
    with tarfile.open(path, mode) as archive:
        for file in sorted(photos.rglob("*")):
            archive.add(file, prefix + file.relative_to(photos).as_posix(), recursive=False)
    return path


def test_folder_counts_labels_and_bytes(photos, tmp_path):
    dataset = opened(photos, tmp_path)
    assert dataset.splits == {"train": 9, "test": 3}
    assert dataset.taxonomy.levels == ("fine", "coarse")
    by_id = {image_id: (label, data) for image_id, label, data in contents(dataset)}
    label, data = by_id[b"train/pear/2.jpg"]
    assert dataset.taxonomy.leaf_ids[label] == "fruit/pear"
    assert data == (photos / "train/pear/2.jpg").read_bytes()
    assert skipped(dataset) == {}


def test_every_kind_of_archive_gives_the_same(photos, tmp_path):
    folder = opened(photos, tmp_path)
    archives = [
        tar_of(photos, tmp_path / "plain.tar"),
        tar_of(photos, tmp_path / "dots.tar", prefix="./"),
        tar_of(photos, tmp_path / "nested.tgz", "w:gz", prefix="photos/"),
        pathlib.Path(shutil.make_archive(str(tmp_path / "zipped"), "zip", photos)),
    ]
    for path in archives:
        dataset = opened(path, tmp_path)
        assert contents(dataset) == contents(folder), path
        assert dataset.fingerprint == folder.fingerprint


def test_workers_change_nothing(photos, tmp_path):
    one = opened(tar_of(photos, tmp_path / "photos.tar.gz", "w:gz"), tmp_path)
    two = opened(photos, tmp_path, num_workers=2)
    assert one.fingerprint == two.fingerprint


def test_what_a_mac_adds_to_a_zip_is_named_and_costs_nothing(photos, tmp_path):
    path = pathlib.Path(shutil.make_archive(str(tmp_path / "zipped"), "zip", photos))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/train/apple/._0.jpg", b"\0\5\x16\7")
        archive.writestr("train/apple/.DS_Store", b"Bud1")
        archive.writestr("train/apple/._1.jpg", b"\0\5\x16\7")
    dataset = opened(path, tmp_path)
    assert dataset.splits["train"] == 9
    assert set(skipped(dataset).values()) == {"hidden or system file"}
    assert len(skipped(dataset)) == 3


def test_images_are_told_by_content_wherever_they_lie(photos, tmp_path):
    """Other suffixes, folders within the class folders, other names of a split."""
    image = Image.fromarray(fakes.pixels(9))
    apple = photos / "train/apple"
    for suffix in ("webp", "bmp", "tif", "gif", "jfif", "jpe"):
        image.rotate(len(suffix)).save(apple / f"x.{suffix}", format=_FORMATS.get(suffix, "JPEG"))
    image.save(apple / "plain", "JPEG")
    (photos / "train/leek/2023").mkdir()
    (photos / "train/leek/2.jpg").rename(photos / "train/leek/2023/2.jpg")
    (photos / "train/fruits/pear").mkdir(parents=True)
    (photos / "train/fruits/pear/4.jpg").write_bytes(jpeg(200))
    shutil.copytree(photos / "test", photos / "Validation")
    dataset = opened(photos, tmp_path)
    assert dataset.splits == {"train": 9 + 7 + 1, "test": 3, "val": 3}
    labels = {image_id: label for image_id, label, _ in contents(dataset)}
    assert labels[b"train/leek/2023/2.jpg"] == 2
    assert labels[b"train/fruits/pear/4.jpg"] == 1
    assert labels[b"train/apple/plain"] == 0
    assert skipped(dataset) == {}


_FORMATS = {"webp": "WEBP", "bmp": "BMP", "tif": "TIFF", "gif": "GIF"}


def test_files_that_are_no_images_of_a_class_are_named(photos, tmp_path):
    (photos / "README.txt").write_text("about")
    (photos / "train/notes.txt").write_text("about")
    (photos / "train/apple/0.xml").write_text("<annotation/>")
    (photos / "extra/apple").mkdir(parents=True)
    (photos / "extra/apple/0.jpg").write_bytes(jpeg(222))
    (photos / "train/apple/Thumbs.db").write_bytes(b"x")
    dataset = opened(photos, tmp_path)
    assert skipped(dataset) == {
        "README.txt": "beside the splits",
        "train/notes.txt": "not part of the layout",
        "extra/apple/0.jpg": "beside the splits",
        "train/apple/0.xml": "not an image",
        "train/apple/Thumbs.db": "hidden or system file",
    }
    report = dataset.preparation().report
    assert report.num_files == 12 + 5
    assert sum(report.splits.values()) + sum(report.skipped.values()) == report.num_files


def test_without_splits_a_share_of_each_class_is_held_out(tmp_path, told):
    root = tmp_path / "photos"
    for label, (name, count) in enumerate({"apple": 10, "pear": 5, "leek": 1}.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            (root / name / f"{number}.jpg").write_bytes(jpeg(80 * label + 8 * number))
    (root / "taxonomy.csv").write_text(TAXONOMY)
    dataset = opened(root, tmp_path)
    labels = [label for _, label, _ in contents(dataset, "test")]
    assert sorted(labels) == [0, 0, 1]  # a fifth of 10 and of 5; the only leek is trained on
    assert "20% of each class held out" in "\n".join(told())
    again = open_dataset("folder", {"source": str(root)}, str(tmp_path / "elsewhere"))
    assert contents(again, "test") == contents(dataset, "test")
    assert opened(root, tmp_path, test_share=0.5).splits == {"train": 5 + 3 + 1, "test": 5 + 2}


def test_a_share_is_held_out_of_train_only_where_there_is_no_test(photos, tmp_path):
    with pytest.raises(FolderError, match=r"test_share=0.2 was given, but there is a folder"):
        opened(photos, tmp_path, test_share=0.2)
    shutil.rmtree(photos / "test")
    assert opened(photos, tmp_path, test_share=0.34).splits == {"train": 6, "test": 3}
    with pytest.raises(FolderError, match="test_share is above 0 and below 1, got 1"):
        opened(photos, tmp_path, test_share=1.0)


def test_links_in_a_folder_are_followed_and_broken_ones_named(photos, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    for number in range(3):
        path = photos / f"train/apple/{number}.jpg"
        shutil.move(path, store / path.name)
        path.symlink_to(store / path.name)
    (photos / "train/apple/loop").symlink_to(photos / "train")
    (photos / "train/apple/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(SourceError, match=r"1 of 10 images of train .*apple/gone.jpg \(link that"):
        opened(photos, tmp_path)
    dataset = opened(photos, tmp_path, max_skipped_share=0.1)
    assert dataset.splits["train"] == 9
    assert skipped(dataset) == {
        "train/apple/gone.jpg": "link that cannot be followed",
        "train/apple/loop": "link that leads back",
    }


def test_photographs_added_replaced_or_gone_are_noticed(photos, tmp_path, told):
    """Each state has prepared data of its own, and an earlier one is found again."""
    first = opened(photos, tmp_path)
    original = (photos / "train/apple/0.jpg").read_bytes()
    states = {first.fingerprint}

    def changed(what: str):
        told()
        dataset = opened(photos, tmp_path)
        out = "\n".join(told())
        assert what in out and "prepared again, beside" in out
        assert dataset.fingerprint not in states
        states.add(dataset.fingerprint)
        return dataset

    (photos / "train/apple/9.jpg").write_bytes(jpeg(201))
    assert changed("1 file is new, such as train/apple/9.jpg").splits["train"] == 10
    (photos / "train/pear/0.jpg").unlink()
    assert changed("1 file is gone, such as train/pear/0.jpg").splits["train"] == 9
    (photos / "train/apple/0.jpg").write_bytes(original + b"\0")
    changed("1 file is changed, such as train/apple/0.jpg")
    (photos / "train/apple/0.jpg").write_bytes(original)
    (photos / "train/apple/9.jpg").unlink()
    (photos / "train/pear/0.jpg").write_bytes(jpeg(60))
    told()
    assert opened(photos, tmp_path).fingerprint == first.fingerprint
    assert "anew" not in "\n".join(told())


def test_labels_corrected_in_place_are_noticed(photos, tmp_path):
    """Two images change places: the names and sizes of all files stay as they were."""
    before = opened(photos, tmp_path)
    one, other = photos / "train/apple/0.jpg", photos / "train/pear/0.jpg"
    held = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(held)
    assert len(one.read_bytes()) == len(held)
    after = opened(photos, tmp_path)
    assert after.splits == before.splits
    assert after.fingerprint != before.fingerprint
    assert {i: d for i, _, d in contents(after)}[b"train/pear/0.jpg"] == held


def test_a_file_that_was_only_touched_changes_nothing(photos, tmp_path, told):
    before = opened(photos, tmp_path)
    for path in [photos / "train/apple/0.jpg", photos / "taxonomy.csv"]:
        os.utime(path, (1, 1))
    told()
    assert opened(photos, tmp_path).builder.data_dir == before.builder.data_dir
    assert told() == []


def test_a_taxonomy_of_the_same_length_is_noticed(photos, tmp_path):
    before = opened(photos, tmp_path)
    (photos / "taxonomy.csv").write_text(TAXONOMY.replace("pear,fruit", "pear,fruti"))
    os.utime(photos / "taxonomy.csv", (2, 2))
    assert opened(photos, tmp_path).fingerprint != before.fingerprint


def test_prepared_once_it_is_read_without_its_photographs(photos, tmp_path, told):
    first = contents(opened(photos, tmp_path))
    shutil.rmtree(photos)
    assert contents(opened(photos, tmp_path)) == first
    assert "does not exist; using the data prepared from it" in "\n".join(told())


def test_photographs_of_which_half_are_gone_are_not_taken_for_the_whole(photos, tmp_path):
    opened(photos, tmp_path)
    shutil.rmtree(photos / "train")
    with pytest.raises(FolderError, match="classes without images"):
        opened(photos, tmp_path)


def test_png_is_stored_without_loss(photos, tmp_path):
    pixels = fakes.pixels(5)
    Image.fromarray(pixels).save(photos / "train/apple/3.png")
    rows = {row[0]: row[2] for row in contents(opened(photos, tmp_path))}
    np.testing.assert_array_equal(tf.io.decode_image(rows[b"train/apple/3.png"]), pixels)


def test_a_photograph_taken_upright_is_trained_on_upright(photos, tmp_path):
    """EXIF orientation 6: what the sensor wrote at the top is shown at the right."""
    sensor = np.zeros((32, 48, 3), np.uint8)
    sensor[:16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(sensor).save(stream, "JPEG", quality=95, exif=exif)
    (photos / "train/apple/phone.jpg").write_bytes(stream.getvalue())
    rows = {row[0]: row[2] for row in contents(opened(photos, tmp_path))}
    seen = tf.io.decode_image(rows[b"train/apple/phone.jpg"]).numpy()
    assert seen.shape == (48, 32, 3)
    assert seen[:, :14].max() < 10 and seen[:, -14:].min() > 245


def test_unreadable_images_are_named_counted_and_skipped(photos, tmp_path, told):
    (photos / "train/apple/bad.jpg").write_bytes(jpeg(1)[:200])
    (photos / "train/apple/text.jpg").write_text("no image")
    dataset = opened(photos, tmp_path, max_skipped_share=0.5)
    assert dataset.splits["train"] == 9
    assert "skipped: not an image 1, truncated image 1" in "\n".join(told())
    assert set(skipped(dataset)) == {"train/apple/bad.jpg", "train/apple/text.jpg"}


def test_too_many_unreadable_images_stop_it_and_the_share_it_names_works(photos, tmp_path):
    for number in range(2):
        (photos / f"train/apple/text{number}.jpg").write_text("no image")
    with pytest.raises(SourceError) as error:
        opened(photos, tmp_path)
    told = str(error.value)
    assert "2 of 11 images of train cannot be used: train/apple/text0.jpg (not an image" in told
    advised = float(told.rpartition("--config.dataset.options.max_skipped_share=")[2])
    assert opened(photos, tmp_path, max_skipped_share=advised).splits["train"] == 9


def test_a_class_left_without_a_readable_image_is_named(photos, tmp_path):
    for path in (photos / "train/leek").iterdir():
        path.write_text("no image")
    with pytest.raises(FolderError, match=r"classes without images: \['train/leek'\]"):
        opened(photos, tmp_path, max_skipped_share=1.0)


def test_a_class_folder_without_row_is_named(photos, tmp_path):
    (photos / "train" / "kiwi").mkdir()
    (photos / "train" / "kiwi" / "1.jpg").write_bytes(jpeg(3))
    with pytest.raises(FolderError, match="train/kiwi"):
        opened(photos, tmp_path)


def test_an_empty_class_is_named(photos, tmp_path):
    shutil.rmtree(photos / "train" / "pear")
    with pytest.raises(FolderError, match=r"classes without images: .*train/pear"):
        opened(photos, tmp_path)
    (photos / "train" / "pear").mkdir()
    with pytest.raises(FolderError, match=r"classes without images: .*train/pear"):
        opened(photos, tmp_path)


def test_one_class_within_another_is_refused(photos, tmp_path):
    (photos / "train/apple/pear").mkdir()
    (photos / "train/apple/pear/1.jpg").write_bytes(jpeg(99))
    with pytest.raises(FolderError, match=r"'train/apple/pear/1.jpg' lies in the folders of 2"):
        opened(photos, tmp_path)


def test_names_in_either_unicode_form_are_one_class(photos, tmp_path):
    """A Mac writes ä as two characters, a spreadsheet as one."""
    name = "Äpfel"
    (photos / "taxonomy.csv").write_text(TAXONOMY.replace("apple", name), encoding="utf-8")
    for split in ("train", "test"):
        decomposed = unicodedata.normalize("NFD", name)
        (photos / split / "apple").rename(photos / split / decomposed)
    labels = {image_id: label for image_id, label, _ in contents(opened(photos, tmp_path))}
    assert labels[f"train/{name}/0.jpg".encode()] == 0


def test_two_folders_that_look_the_same_are_refused(photos, tmp_path):
    name = "Äpfel"
    (photos / "taxonomy.csv").write_text(TAXONOMY.replace("apple", name), encoding="utf-8")
    for split in ("train", "test"):
        (photos / split / "apple").rename(photos / split / name)
    copy = photos / "train" / unicodedata.normalize("NFD", name)
    shutil.copytree(photos / "train" / name, copy)
    with pytest.raises(FolderError, match="differs only in how its accents are encoded"):
        opened(photos, tmp_path)


def test_a_folder_name_that_is_not_utf8_is_told(photos, tmp_path):
    (photos / "train/apple").rename(photos / "train" / os.fsdecode(b"\xc4pfel"))
    with pytest.raises(FolderError, match="not UTF-8"):
        opened(photos, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TAXONOMY + "pear,vegetable\n", r"row 5: fine 'pear' has two parents"),
        ("fine,coarse\napple,pear\npear,apple\nleek,x\n", r"row 3: a cycle"),
        (TAXONOMY + "kiwi\n", r"row 5: expected 2 names"),
        ("coarse,fine\nfruit,apple\nfruit,pear\n", r"row 3: .*a row parent,child"),
        ("child,parent\napple,fruit\npear\n", r"row 3: expected 2 cells"),
    ],
)
def test_mistakes_in_the_taxonomy_name_the_row(photos, tmp_path, text, message):
    (photos / "taxonomy.csv").write_text(text)
    with pytest.raises(TaxonomyError, match=message):
        opened(photos, tmp_path)


def test_the_taxonomy_may_be_edges(photos, tmp_path):
    edges = "child,parent\nleek,vegetable\napple,pome\npear,pome\npome,fruit\n"
    (photos / "taxonomy.csv").write_text(edges)
    taxonomy = opened(photos, tmp_path).taxonomy
    assert taxonomy.leaf_ids == ("leek", "apple", "pear")
    names = [taxonomy.names[node] for (node,) in taxonomy.ancestors_at("depth:0")]
    assert names == ["vegetable", "fruit", "fruit"]


def test_a_class_folder_may_be_called_by_the_id_of_its_leaf(photos, tmp_path):
    table = "id,parent,name\napple,g1,Malus domestica\npear,g1,Pyrus\nleek,g2,\n"
    (photos / "taxonomy.csv").write_text(f"{table}g1,,Rosaceae\ng2,,Allium\n")
    taxonomy = opened(photos, tmp_path).taxonomy
    assert taxonomy.leaf_ids == ("apple", "pear", "leek")
    assert [taxonomy.names[n] for n in taxonomy.leaf_nodes] == ["Malus domestica", "Pyrus", "leek"]


def test_a_class_may_lack_a_rank(photos, tmp_path, told):
    table = "fine,pome,coarse\napple,yes,fruit\npear,,fruit\nleek,,\n"
    (photos / "taxonomy.csv").write_text(table)
    taxonomy = opened(photos, tmp_path).taxonomy
    assert taxonomy.leaf_ids == ("fruit/yes/apple", "fruit/pear", "leek")
    assert "2 of 3 rows have no pome: 'pear', 'leek'" in "".join(told())


def test_a_class_that_is_called_like_another_level_is_no_edge(photos, tmp_path):
    """A folder's table has a header, so that only its words make edges of it."""
    table = "fruit,kind\napple,fruit\npear,apple\nleek,vegetable\n"
    (photos / "taxonomy.csv").write_text(table)
    taxonomy = opened(photos, tmp_path).taxonomy
    assert taxonomy.leaf_ids == ("fruit/apple", "apple/pear", "vegetable/leek")
    assert taxonomy.levels == ("fruit", "kind")


def test_what_is_missing_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FolderError, match=r"no taxonomy.csv"):
        opened(tmp_path / "empty", tmp_path)
    with pytest.raises(FolderError, match="no such folder or archive"):
        opened(tmp_path / "nothing", tmp_path)


def test_names_and_options_are_checked(photos, tmp_path):
    with pytest.raises(DatasetError, match="did you mean 'folder'"):
        open_dataset("foldr", {}, str(tmp_path))
    with pytest.raises(RecipeError, match="num_trian"):
        open_dataset("demo", {"num_trian": 3}, str(tmp_path))
    with pytest.raises(RecipeError, match="flatt"):
        opened(photos, tmp_path, flatt=True)


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


def test_a_data_folder_that_tfds_cannot_write_is_named(photos, tmp_path):
    with pytest.raises(DatasetError, match="its name is not UTF-8"):
        open_dataset("folder", {"source": str(photos)}, str(tmp_path / os.fsdecode(b"\xff")))


def test_splits_that_lie_deeper_are_not_taken_for_none(photos, tmp_path):
    """Else the user's test images would be divided anew, and trained on."""
    (photos / "images").mkdir()
    for split in ("train", "test"):
        (photos / split).rename(photos / "images" / split)
    with pytest.raises(FolderError, match=r"'images/t[a-z]+' is named as a split"):
        opened(photos, tmp_path)
    by_class = tmp_path / "by_class"
    for name in ("apple", "pear", "leek"):
        for split in ("train", "test"):
            (by_class / name).mkdir(parents=True, exist_ok=True)
            shutil.copytree(photos / "images" / split / name, by_class / name / split)
    (by_class / "taxonomy.csv").write_text(TAXONOMY)
    with pytest.raises(FolderError, match=r"is named as a split"):
        opened(by_class, tmp_path)


def test_linked_folders_are_followed_unless_they_lead_back(photos, tmp_path):
    (photos / "val").symlink_to("test")
    (photos / "train/apple/more").symlink_to(photos / "train/apple")
    outside = tmp_path / "outside"
    shutil.move(photos / "train/leek", outside)
    (photos / "train/leek").symlink_to(outside)
    dataset = opened(photos, tmp_path, max_skipped_share=0.2)
    assert dataset.splits == {"train": 9, "test": 3, "val": 3}
    assert skipped(dataset) == {"train/apple/more": "link that leads back"}


def test_options_that_shape_the_data_have_data_of_their_own_under_a_name_too(photos, tmp_path):
    shutil.rmtree(photos / "test")
    sizes = [
        opened(photos, tmp_path, name="mine", test_share=share).splits["test"]
        for share in (0.34, 0.67, 0.34)
    ]
    assert sizes == [3, 6, 3]
    with pytest.raises(FolderError, match=r"name is made of letters.*'\.\./evil'"):
        opened(photos, tmp_path, name="../evil")


def test_class_folders_that_change_places_are_noticed(photos, tmp_path):
    """Names, sizes and times of all files stay as they were; only where they lie is new."""
    for path in photos.rglob("*.jpg"):
        os.utime(path, (1000, 1000))
    before = opened(photos, tmp_path)
    train = photos / "train"
    for one, other in (("apple", "held"), ("pear", "apple"), ("held", "pear")):
        (train / one).rename(train / other)
    after = opened(photos, tmp_path)
    assert after.fingerprint != before.fingerprint
    assert (b"train/pear/0.jpg", 1, jpeg(0)) in contents(after)


def test_images_beside_the_splits_are_named_and_those_without_a_class_count(photos, tmp_path):
    """A folder of all images beside the splits, say, is the user's own affair."""
    shutil.copytree(photos / "train", photos / "all")
    dataset = opened(photos, tmp_path)
    assert dataset.splits == {"train": 9, "test": 3}
    assert len(skipped(dataset)) == 9 and set(skipped(dataset).values()) == {"beside the splits"}
    (photos / "train/stray.jpg").write_bytes(jpeg(77))
    with pytest.raises(SourceError, match=r"1 of 10 images of train .*train/stray.jpg"):
        opened(photos, tmp_path)


def test_a_member_that_would_leave_its_folder_counts_and_is_called_so(photos, tmp_path):
    path = pathlib.Path(shutil.make_archive(str(tmp_path / "zipped"), "zip", photos))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../val/apple/1.jpg", jpeg(3))
    with pytest.raises(SourceError, match=r"\.\./val/apple/1.jpg \(unsafe path"):
        opened(path, tmp_path)


def test_a_member_that_stands_twice_counts_once_and_stops_nothing(photos, tmp_path):
    path = tar_of(photos, tmp_path / "photos.tar")
    (photos / "train/apple/0.jpg").write_bytes(jpeg(203))
    with tarfile.open(path, "a") as archive:
        archive.add(photos / "train/apple/0.jpg", "train/apple/0.jpg")
    rows = {row[0]: row[2] for row in contents(opened(path, tmp_path))}
    assert len(rows) == 9 and rows[b"train/apple/0.jpg"] == jpeg(203)


def test_what_no_taxonomy_is_due_to_is_told(photos, tmp_path):
    path = tmp_path / "photos.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("taxonomy.csv", "train/apple/0.jpg"):
            info = archive.gettarinfo(photos / name)
            info.name = f"/photos/{name}"
            with (photos / name).open("rb") as file:
                archive.addfile(info, file)
    with pytest.raises(FolderError, match=r"no taxonomy.csv .*2 files could not be read \(unsafe"):
        opened(path, tmp_path)


def test_without_a_split_to_test_on_the_error_says_what_to_do(photos, tmp_path):
    shutil.rmtree(photos / "test")
    with pytest.raises(DatasetError, match=r"options.test_share=0.2") as error:
        opened(photos, tmp_path).read("test")
    assert "--config.dataset.eval_split" in str(error.value)
    assert len(contents(opened(photos, tmp_path, test_share=0.2), "test")) == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dataset_info.json", None),
        ("dataset_info.json", b""),
        ("labelled_folder-train.tfrecord-00000-of-00001", None),
        ("source_files.npz", b"PK\3\4cut"),
        ("preparation.json", b"{"),
    ],
)
def test_prepared_data_that_is_damaged_is_named_and_the_remedy_works(
    photos, tmp_path, name, content
):
    folder = pathlib.Path(opened(photos, tmp_path).builder.data_dir)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"delete the folder|delete that folder") as error:
        opened(photos, tmp_path).preparation()
    assert str(tmp_path / "data") in str(error.value)
    shutil.rmtree(folder)
    assert opened(photos, tmp_path).splits == {"train": 9, "test": 3}


@pytest.mark.parametrize("content", [b"[]", b'{"splits": []}', b"{", b"\xff"])
def test_contents_that_are_damaged_are_made_again(photos, tmp_path, content):
    dataset = opened(photos, tmp_path)
    (pathlib.Path(dataset.builder.data_dir) / "contents.json").write_bytes(content)
    assert opened(photos, tmp_path).fingerprint == dataset.fingerprint


def test_a_touched_file_in_data_that_cannot_be_written_is_read(photos, tmp_path, monkeypatch):
    opened(photos, tmp_path)
    os.utime(photos / "train/apple/0.jpg", (1, 1))

    def refuse(self, folder):
        raise PermissionError(13, "read-only", str(folder))

    monkeypatch.setattr(SourceState, "save", refuse)
    assert opened(photos, tmp_path).splits["train"] == 9


def test_flat_classes_may_be_called_like_splits(tmp_path):
    for name in ("test", "bus"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "photos" / name / f"{number}.jpg").write_bytes(jpeg(len(name) + number))
    dataset = opened(tmp_path / "photos", tmp_path, flat=True)
    assert dataset.taxonomy.leaf_ids == ("bus", "test")
    assert dataset.splits == {"train": 2, "test": 2}


@pytest.mark.parametrize("extra", ["README.txt", ".DS_Store", "val/apple/.hidden.jpg"])
def test_a_compressed_archive_may_hold_files_that_are_no_images(photos, tmp_path, extra):
    (photos / extra).parent.mkdir(parents=True, exist_ok=True)
    (photos / extra).write_text("about")
    dataset = opened(tar_of(photos, tmp_path / "photos.tar.gz", "w:gz"), tmp_path)
    assert dataset.splits == {"train": 9, "test": 3}
    assert list(skipped(dataset)) == [extra]


def test_files_dated_before_1970_are_read(photos, tmp_path):
    os.utime(photos / "train/apple/0.jpg", (-1000, -1000))
    first = opened(photos, tmp_path)
    assert opened(photos, tmp_path).builder.data_dir == first.builder.data_dir


def test_an_archive_that_did_not_change_is_not_read_for_that(photos, tmp_path, monkeypatch):
    path = tar_of(photos, tmp_path / "photos.tar")
    first = opened(path, tmp_path)
    monkeypatch.setattr(Archive, "scan", None)  # whoever reads it now fails
    assert opened(path, tmp_path).builder.data_dir == first.builder.data_dir


def test_files_that_are_not_used_may_be_touched(photos, tmp_path, told):
    (photos / "cover.jpg").write_bytes(jpeg(9))
    (photos / "train/apple/bad.jpg").write_text("no image")
    first = opened(photos, tmp_path, max_skipped_share=0.2)
    for name in ("cover.jpg", "train/apple/bad.jpg"):
        os.utime(photos / name, (5, 5))
    told()
    again = opened(photos, tmp_path, max_skipped_share=0.2)
    assert again.builder.data_dir == first.builder.data_dir and told() == []
    (photos / "train/apple/bad.jpg").write_bytes(b"no image"[:8])
    os.utime(photos / "train/apple/bad.jpg", (6, 6))
    assert opened(photos, tmp_path, max_skipped_share=0.2).splits["train"] == 9


def test_an_unfinished_preparation_of_an_earlier_state_is_told_of(photos, tmp_path, told):
    left = tmp_path / "data/labelled_folder/mine-01234567/2.0.0.preparing"
    left.mkdir(parents=True)
    opened(photos, tmp_path, name="mine")
    assert f"{left} holds an unfinished preparation" in "\n".join(told())
