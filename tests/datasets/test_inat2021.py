"""inat2021: annotations joined by id, eight levels, what is missing on either side."""

from __future__ import annotations

import base64
import gzip
import os
import pathlib
import shutil
import tarfile
import tempfile
import zipfile
from unittest import mock

import pytest
import tensorflow_datasets as tfds

from fine2coarse.archives.archives import SourceError, open_archive
from fine2coarse.datasets import inat2021
from fine2coarse.datasets.inat2021_sources import Inat2021Source, SplitFiles, read_annotations
from fine2coarse.datasets.leveled import PreparationError, PrepareConfig
from fine2coarse.taxonomy.inat2021 import LEVELS
from fine2coarse.taxonomy.text_tables import TableError
from tests.datasets import fakes


def prepare(manual_dir, data_dir, level="species", **settings):
    builder = tfds.builder(f"inat2021/{level}", data_dir=data_dir)
    builder.download_and_prepare(download_config=PrepareConfig(manual_dir=manual_dir, **settings))
    return builder


def make_all(folder, **options):
    """All three splits; the images of `mini` are in `train` too, as in the real one."""
    fakes.inat_split(folder, "train", 5, **options)
    fakes.inat_split(folder, "train_mini", 2, **options)
    fakes.inat_split(folder, "val", 1, first_id=1000, **options)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inat2021")
    make_all(folder / "manual")
    prepare(folder / "manual", folder / "data", "kingdom")
    return folder / "data"


def test_splits_features_and_bytes(prepared):
    builder = tfds.builder("inat2021", data_dir=prepared)
    assert {name: info.num_examples for name, info in builder.info.splits.items()} == {
        "train": 20,
        "mini": 8,
        "val": 4,
    }
    examples = builder.as_dataset(split="val", decoders={"image": tfds.decode.SkipDecoding()})
    found = {
        (e["image_id"], e["file_name"], e["label"]): e["image"]
        for e in examples.as_numpy_iterator()
    }
    name = "val/00002_Pieris_japonica/000003ea.jpg"
    assert found[b"1002", name.encode(), 2] == fakes.jpeg(1002)
    report = builder.report()
    assert (report.num_files, report.classes_seen, report.num_classes) == (32, 4, 4)
    assert not report.skipped


def test_eight_levels_from_one_copy(prepared):
    expected = {
        "kingdom": 2, "supercategory": 3, "phylum": 3, "class": 3, "order": 3, "family": 3,
        "genus": 3, "species": 4,
    }  # fmt: skip
    assert set(expected) == set(LEVELS)
    for level, num_classes in expected.items():
        dataset, info = tfds.load(
            f"inat2021/{level}", split="val", data_dir=prepared, with_info=True
        )
        label = info.features["label"]
        assert (label.num_classes, len(label.names)) == (num_classes, num_classes)
        labels = [int(example["label"]) for example in dataset.as_numpy_iterator()]
        assert len(labels) == 4
        assert len(set(labels)) == num_classes
    assert {path.name for path in (prepared / "inat2021").iterdir()} == {"species", ".config"}


def test_genera_of_one_name_are_kept_apart(prepared):
    dataset, info = tfds.load("inat2021/genus", split="val", data_dir=prepared, with_info=True)
    names = info.features["label"].names
    of_image = {e["image_id"]: names[e["label"]] for e in dataset.as_numpy_iterator()}
    assert of_image == {
        b"1000": "Lumbricus",
        b"1001": "Animalia/Arthropoda/Insecta/Lepidoptera/Pieridae/Pieris",
        b"1002": "Plantae/Tracheophyta/Magnoliopsida/Ericales/Ericaceae/Pieris",
        b"1003": "Animalia/Arthropoda/Insecta/Lepidoptera/Pieridae/Pieris",
    }


def test_a_supercategory_called_like_a_kingdom_is_another_class(prepared):
    dataset, info = tfds.load(
        "inat2021/supercategory", split="val", data_dir=prepared, with_info=True
    )
    names = info.features["label"].names
    assert sorted(names) == ["Animalia", "Insects", "Plants"]
    of_image = {e["image_id"]: names[e["label"]] for e in dataset.as_numpy_iterator()}
    assert of_image[b"1001"] == "Insects"
    kingdoms = tfds.builder("inat2021/kingdom", data_dir=prepared).info.features["label"].names
    assert sorted(kingdoms) == ["Animalia", "Plantae"]


def spoil(content: dict, files: dict) -> None:
    """One of each thing that the annotations can get wrong."""
    names = [image["file_name"] for image in content["images"]]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 0]
    for annotation in content["annotations"]:
        if annotation["image_id"] == 1:
            annotation["category_id"] = 77
    content["annotations"].append({"id": 5, "image_id": 555, "category_id": 0})
    content["annotations"].append({"id": 6, "image_id": 3, "category_id": 2})
    del files[names[2]]
    files["val/stray.jpg"] = fakes.jpeg(9)
    files["val/../../x.jpg"] = fakes.jpeg(10)


def test_what_does_not_join_is_reported(tmp_path):
    fakes.inat_split(tmp_path / "manual", "val", 3, change=spoil)
    builder = prepare(tmp_path / "manual", tmp_path / "data", splits=("val",))
    lumbricus, pieris = "val: val/00000_Lumbricus_terrestris/", "val: val/00001_Pieris_rapae/"
    assert fakes.skipped(builder.data_dir) == {
        f"{lumbricus}00000000.jpg": "image without annotation",
        f"{lumbricus}00000001.jpg": "unknown category id",
        f"{lumbricus}00000002.jpg": "image missing from the archive",
        f"{pieris}00000003.jpg": "annotations that disagree",
        "val: annotation 5": "annotation without image",
        "val: val/stray.jpg": "file that the annotations do not list",
        "val: val/../../x.jpg": "unsafe path",
    }
    report = builder.report()
    assert report.splits == {"val": 12 - 4}
    assert report.num_files == 12 - 1 + 2
    assert not list(tmp_path.rglob("x.jpg"))


def test_a_folder_and_a_plain_tar_give_the_same_shards(prepared, tmp_path):
    make_all(tmp_path / "zipped")
    for name in ("train", "train_mini", "val"):
        tar = gzip.decompress((tmp_path / "zipped" / f"{name}.tar.gz").read_bytes())
        for kind in ("tar", "folder"):
            (tmp_path / kind).mkdir(exist_ok=True)
            shutil.copy(tmp_path / "zipped" / f"{name}.json.tar.gz", tmp_path / kind)
        (tmp_path / "tar" / f"{name}.tar").write_bytes(tar)
        with tarfile.open(tmp_path / "tar" / f"{name}.tar") as archive:
            archive.extractall(tmp_path / "folder", filter="data")
    reference = fakes.content_of(prepared / "inat2021" / "species" / "2.0.0")
    for kind in ("tar", "folder"):
        builder = prepare(tmp_path / kind, tmp_path / f"data_{kind}")
        content = fakes.content_of(builder.data_dir)
        shards = {name: data for name, data in content.items() if "tfrecord" in name}
        assert len(shards) == 3
        assert all(reference[name] == data for name, data in shards.items())


def test_members_and_files_that_are_lost_or_listed_nowhere_are_named(tmp_path):
    """Of a member that occurs twice in a stream the first is read; in a plain tar the last."""
    fakes.inat_split(tmp_path / "gz", "val", 1)
    packed = tmp_path / "gz" / "val.tar.gz"
    with tarfile.open(packed) as archive:
        files = [(m.name, archive.extractfile(m).read()) for m in archive]
    name = files[0][0]
    data = fakes.tar_bytes([*files, (name, fakes.jpeg(77))])
    packed.write_bytes(gzip.compress(data))
    (tmp_path / "tar").mkdir()
    (tmp_path / "tar" / "val.tar").write_bytes(data)
    shutil.copy(tmp_path / "gz" / "val.json.tar.gz", tmp_path / "tar")
    for kind, expected in (("gz", files[0][1]), ("tar", fakes.jpeg(77))):
        builder = prepare(tmp_path / kind, tmp_path / f"data_{kind}", splits=("val",))
        assert fakes.skipped(builder.data_dir) == {f"val: {name}": "repeated member"}
        assert builder.report().num_files == 5
        examples = builder.as_dataset(split="val", decoders={"image": tfds.decode.SkipDecoding()})
        images = {e["file_name"].decode(): e["image"] for e in examples.as_numpy_iterator()}
        assert images[name] == expected


def test_a_folder_names_files_that_are_not_listed(tmp_path):
    fakes.inat_split(tmp_path, "val", 1)
    with tarfile.open(tmp_path / "val.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "val.tar.gz").unlink()
    (tmp_path / "val" / "stray.jpg").write_bytes(fakes.jpeg(1))
    builder = prepare(tmp_path, tmp_path / "data", splits=("val",))
    assert fakes.skipped(builder.data_dir) == {
        "val: val/stray.jpg": "file that the annotations do not list"
    }


def test_other_usual_names_and_kinds_give_the_same(prepared, tmp_path, told):
    manual = tmp_path / "manual"
    make_all(manual)
    with tarfile.open(manual / "train.tar.gz") as archive:
        files = {m.name: archive.extractfile(m).read() for m in archive}
    with zipfile.ZipFile(manual / "inat2021_train.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    (manual / "train.tar.gz").unlink()
    (manual / "train_mini.tar.gz").rename(manual / "train_mini (1).tgz")
    with tarfile.open(manual / "val.json.tar.gz") as archive:
        annotations = archive.extractfile("val.json").read()
    (manual / "val.json.gz").write_bytes(gzip.compress(annotations))
    (manual / "val.json.tar.gz").unlink()
    builder = prepare(manual, tmp_path / "data")
    lines = told()
    assert f"{manual}/inat2021_train.zip is taken for the images of train" in lines
    assert f"{manual}/train_mini (1).tgz is taken for the images of train_mini" in lines
    assert f"{manual}/val.json.gz is taken for the annotations of val" in lines
    reference = fakes.content_of(prepared / "inat2021" / "species" / "2.0.0")
    content = fakes.content_of(builder.data_dir)
    assert all(data == reference[name] for name, data in content.items() if "tfrecord" in name)


@pytest.fixture
def no_download(monkeypatch):
    monkeypatch.setattr(
        tfds.download.DownloadManager, "download", lambda *_: pytest.fail("downloads")
    )


@pytest.mark.parametrize(
    ("free_gb", "is_cached", "told"),
    [
        (26, False, "8.9 GB to download .* about 26.8 GB are needed there, 26.0 GB are free"),
        (17, True, "0 B|9.8 MB to download .* about 17.9 GB are needed there, 17.0 GB are free"),
    ],
)
def test_a_download_that_the_disk_cannot_hold_is_not_begun(
    tmp_path, monkeypatch, no_download, free_gb, is_cached, told
):
    downloads = tmp_path / "data" / "downloads"
    downloads.mkdir(parents=True)
    if is_cached:
        digest = inat2021.Inat2021.url_infos[f"{inat2021.URL}val.tar.gz"].checksum
        token = base64.urlsafe_b64encode(bytes.fromhex(digest)).decode()[:-1]
        (downloads / f"ml-inat-comp_val{token}.tar.gz").write_bytes(b"x")
    monkeypatch.setattr(inat2021, "disk_free", lambda folder: free_gb * 10**9)
    with pytest.raises(PreparationError, match=told) as error:
        prepare(None, tmp_path / "data", splits=("val",))
    assert "name fewer splits (of train, mini, val)" in str(error.value)
    assert str(downloads) in str(error.value)


def test_the_size_of_a_download_is_told_before_it_begins(tmp_path, monkeypatch, caplog):
    class Begun(Exception):
        pass

    def begin(*_):
        raise Begun

    monkeypatch.setattr(tfds.download.DownloadManager, "download", begin)
    monkeypatch.setattr(inat2021, "disk_free", lambda folder: 10**12)
    caplog.set_level("INFO", "fine2coarse")
    with pytest.raises(Begun):
        prepare(None, tmp_path / "data")
    (line,) = [r.getMessage() for r in caplog.records if "to download" in r.getMessage()]
    assert "inat2021: 293.8 GB to download into" in line
    assert "(train 240.1 GB, mini 44.7 GB, val 8.9 GB)" in line
    assert "about 881.3 GB are needed there, 1.0 TB are free" in line
    monkeypatch.setattr(inat2021, "disk_free", lambda folder: 10)
    with pytest.raises(Begun):
        prepare(None, tmp_path / "data", check_disk_space=False)


def test_what_is_wrong_is_said_before_anything_is_downloaded(tmp_path, no_download):
    fakes.inat_split(tmp_path, "val", 1)
    (tmp_path / "val.json.tar.gz").rename(tmp_path / "labels.json.tar.gz")
    with pytest.raises(SourceError, match=r"has labels.json.tar.gz, not recognised"):
        prepare(tmp_path, tmp_path / "data", splits=("val",))
    (tmp_path / "labels.json.tar.gz").unlink()
    (tmp_path / "val.tar.gz").write_text("<!DOCTYPE html>")
    with pytest.raises(SourceError, match=r"val.tar.gz is an HTML page"):
        prepare(tmp_path, tmp_path / "data", splits=("val",))


def test_identity_tells_changed_images_and_annotations(tmp_path):
    fakes.inat_split(tmp_path, "val", 1)

    def identity():
        annotations = read_annotations(tmp_path / "val.json.tar.gz")
        archive = open_archive(tmp_path / "val.tar.gz")
        return Inat2021Source([SplitFiles("val", archive, annotations)]).identity()

    before = identity()
    assert identity() == before
    os.utime(tmp_path / "val.tar.gz", ns=(0, 1))
    touched = identity()
    assert touched != before
    fakes.inat_split(tmp_path / "other", "val", 1, change=lambda c, f: c["annotations"].pop())
    shutil.copy(tmp_path / "other" / "val.json.tar.gz", tmp_path)
    assert identity() != touched


def test_annotations_in_an_archive_of_several_are_an_error(tmp_path):
    path = tmp_path / "val.json.tar.gz"
    path.write_bytes(gzip.compress(fakes.tar_bytes({"a.json": b"{}", "b.json": b"{}"})))
    with pytest.raises(SourceError, match=r"holds 2 .json files, not one; it has \['a.json'"):
        read_annotations(path)
    path.write_bytes(gzip.compress(b"{}")[:-9])
    with pytest.raises(SourceError, match=r"val.json.tar.gz is cut off or damaged"):
        read_annotations(path)


def test_only_the_splits_asked_for_are_looked_for(tmp_path):
    fakes.inat_split(tmp_path / "manual", "train_mini", 1)
    builder = prepare(tmp_path / "manual", tmp_path / "data", splits=("mini",))
    assert list(builder.info.splits) == ["mini"]
    with pytest.raises(ValueError, match=r"has no splits \['test'\]; it has"):
        prepare(tmp_path / "manual", tmp_path / "other", splits=("test",))


def test_real_urls_and_sizes():
    infos = inat2021.Inat2021.url_infos
    assert set(infos) == {
        f"{inat2021.URL}{name}{suffix}"
        for name in inat2021.ARCHIVES.values()
        for suffix in (".tar.gz", ".json.tar.gz")
    }
    assert infos[f"{inat2021.URL}train.tar.gz"].size == 239_909_164_970
    assert infos[f"{inat2021.URL}val.json.tar.gz"].size == 9_797_665
    assert all(len(info.checksum) == 64 for info in infos.values())


def test_broken_annotations_are_errors(tmp_path):
    fakes.inat_split(tmp_path / "manual", "val", 1)
    path = tmp_path / "manual" / "val.json"
    path.write_text('{"images": [], "annotations": []}')
    with pytest.raises(SourceError, match=r"val.json: the annotations lack \['categories'\]"):
        prepare(tmp_path / "manual", tmp_path / "data", splits=("val",))
    path.write_text("{nonsense")
    with pytest.raises(TableError, match="not JSON"):
        prepare(tmp_path / "manual", tmp_path / "data", splits=("val",))


def test_splits_with_other_categories_are_an_error(tmp_path):
    def rename(content, files):
        content["categories"][0]["genus"] = "Other"

    fakes.inat_split(tmp_path / "manual", "val", 1)
    fakes.inat_split(tmp_path / "manual", "train_mini", 1, change=rename)
    with pytest.raises(SourceError, match="the categories of mini and val differ"):
        prepare(tmp_path / "manual", tmp_path / "data", splits=("mini", "val"))


class Inat2021Test(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks of a builder, downloads faked."""

    DATASET_CLASS = inat2021.Inat2021
    SPLITS = {"train": 12, "mini": 8, "val": 4}
    OVERLAPPING_SPLITS = ("train", "mini")
    BUILDER_CONFIG_NAMES_TO_TEST = ("species", "genus", "supercategory")
    DL_DOWNLOAD_RESULT = {
        f"{split}/{part}": f"{name}{suffix}"
        for split, name in inat2021.ARCHIVES.items()
        for part, suffix in (("images", ".tar.gz"), ("annotations", ".json.tar.gz"))
    }

    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="f2c-inat2021-"))
        fakes.inat_split(folder, "train", 3)
        fakes.inat_split(folder, "train_mini", 2)
        fakes.inat_split(folder, "val", 1, first_id=1000)
        cls.EXAMPLE_DIR = folder
        cls.enterClassContext(mock.patch.object(inat2021, "disk_free", lambda folder: None))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.EXAMPLE_DIR)


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_source_that_changed_is_noticed_where_it_is_given(tmp_path, is_folder):
    manual, data = tmp_path / "in", tmp_path / "data"
    fakes.inat_split(manual, "val", 1)
    changed = manual / "val.tar.gz"
    if is_folder:
        with tarfile.open(changed) as archive:
            archive.extractall(manual, filter="data")
        changed.unlink()
        changed = next((manual / "val").rglob("*.jpg"))
    prepare(manual, data, splits=("val",))
    prepare(manual, data, splits=("val",))
    os.utime(changed, (1, 1))
    with pytest.raises(PreparationError, match=r"has changed since .* leave manual_dir out"):
        prepare(manual, data, splits=("val",))
    prepare(None, data, splits=("val",))


def test_splits_that_are_not_prepared_yet_are_asked_for_in_vain(tmp_path):
    make_all(tmp_path / "in")
    prepare(tmp_path / "in", tmp_path / "data", splits=("val",))
    with pytest.raises(PreparationError, match=r"with the splits \['val'\], without \['train'\]"):
        prepare(tmp_path / "in", tmp_path / "data", splits=("val", "train"))


@pytest.mark.parametrize("lost", ["file_name", "id"])
def test_an_image_without_its_fields_is_an_error_that_names_the_file(tmp_path, lost):
    fakes.inat_split(
        tmp_path / "in", "val", 1, change=lambda content, files: content["images"][0].pop(lost)
    )
    with pytest.raises(SourceError, match=r"val.json.tar.gz: an image without"):
        prepare(tmp_path / "in", tmp_path / "data", splits=("val",))
