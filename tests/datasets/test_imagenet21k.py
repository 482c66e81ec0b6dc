"""imagenet21k: five layouts, hostile files, levels as views, TFDS's conventions."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import pathlib
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from fine2coarse.archives.archives import SourceError
from fine2coarse.datasets import imagenet21k
from fine2coarse.datasets.imagenet21k_sources import Leaves, find_source
from fine2coarse.datasets.leveled import PreparationError, PrepareConfig
from fine2coarse.datasets.prepared import PreparedDataset
from tests.datasets import fakes

ARCHIVE_KINDS = ("tar", "tar.gz", "zip")


def prepare(manual_dir, data_dir, config="level0", file_format=None, **settings):
    builder = tfds.builder(f"imagenet21k/{config}", data_dir=data_dir)
    builder.download_and_prepare(
        download_config=PrepareConfig(manual_dir=manual_dir, **settings), file_format=file_format
    )
    return builder


def stored(builder) -> dict[str, bytes]:
    """Image id → stored bytes, over all splits."""
    return {
        example["image_id"].decode(): example["image"]
        for split in builder.info.splits
        for example in builder.as_dataset(
            split=split, decoders={"image": tfds.decode.SkipDecoding()}
        ).as_numpy_iterator()
    }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> tuple[pathlib.Path, dict]:
    folder = tmp_path_factory.mktemp("imagenet21k")
    files = fakes.small_files()
    fakes.whole_tar(folder / "manual", files)
    prepare(folder / "manual", folder / "data", num_validation=5)
    return folder / "data", files


def test_every_byte_is_stored_once(prepared):
    data_dir, files = prepared
    builder = tfds.builder("imagenet21k", data_dir=data_dir)
    flat = {name: data for of_synset in files.values() for name, data in of_synset.items()}
    assert stored(builder) == flat
    assert {name: info.num_examples for name, info in builder.info.splits.items()} == {
        "train": 19,
        "validation": 5,
    }
    report = builder.report()
    assert (report.num_files, report.classes_seen, report.num_classes) == (24, 4, 21843)
    assert not report.skipped
    assert [p.name for p in (data_dir / "imagenet21k").iterdir() if p.is_dir()].count("level0") == 1


def test_the_held_out_split_follows_from_the_names(prepared):
    data_dir, files = prepared
    names = [name for of_synset in files.values() for name in of_synset]
    expected = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())[:5]
    dataset = tfds.load("imagenet21k", split="validation", data_dir=data_dir)
    assert [example["image_id"].decode() for example in dataset.as_numpy_iterator()] == expected


def test_levels_are_views_of_the_one_copy(prepared):
    data_dir, _ = prepared
    for level, expected in (
        (1, {"n01317541", "n02083346"}),  # a dog is a domestic animal and a canine
        (4, {"n00004258", "n01861778"}),  # a living thing and a mammal
    ):
        dataset, info = tfds.load(
            f"imagenet21k/level{level}", split="train", data_dir=data_dir, with_info=True
        )
        ids = imagenet21k.Imagenet21k(config=f"level{level}", data_dir=data_dir)
        label = info.features["label"]
        assert label.num_classes == (5995, 2281, 1038, 519)[level - 1]
        seen = [
            {ids_of(ids, f"level{level}")[c] for c in example["label"] if c >= 0}
            for example in dataset.as_numpy_iterator()
            if example["image_id"].startswith(b"n02084071_")
        ]
        assert seen
        assert all(classes == expected for classes in seen)
    folders = {path.name for path in (data_dir / "imagenet21k").iterdir()}
    assert folders == {"level0", ".config"}


def ids_of(builder, config: str) -> list[str]:
    from fine2coarse.labels import sources

    return list(sources.level(builder.taxonomy, config.removeprefix("level")).class_ids)


def test_level_names_are_unique_and_decode(prepared):
    data_dir, _ = prepared
    label = tfds.builder("imagenet21k/level1", data_dir=data_dir).info.features["label"]
    assert len(set(label.names)) == label.num_classes
    assert label.str2int("canine, canid") == label.names.index("canine, canid")


def archive_of(kind: str, files: dict[str, bytes]) -> bytes:
    """An archive of files: 'tar', 'tar.gz' or 'zip'."""
    if kind == "zip":
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return stream.getvalue()
    data = fakes.tar_bytes(files)
    return gzip.compress(data) if kind == "tar.gz" else data


@pytest.mark.parametrize(
    "layout",
    ["winter21", "tars", "folders", "tars in zip", *(f"folders in {k}" for k in ARCHIVE_KINDS)],
)
def test_layouts_are_told_apart_and_give_the_same_shards(prepared, tmp_path, layout):
    data_dir, files = prepared
    manual = tmp_path / "manual"
    manual.mkdir()
    if layout == "winter21":
        fakes.whole_tar(manual, files, gzipped=True)
    if layout == "tars in zip":
        tars = {f"{synset}.tar": fakes.tar_bytes(of_synset) for synset, of_synset in files.items()}
        (manual / "whole.zip").write_bytes(archive_of("zip", tars))
    if layout.startswith("folders in"):
        kind = layout.split()[-1]
        flat = {
            f"./imagenet21k_resized/imagenet21k_train/{synset}/{name}": data
            for synset, of_synset in files.items()
            for name, data in of_synset.items()
        }
        (manual / f"imagenet21k_resized.{kind}").write_bytes(archive_of(kind, flat))
    for number, (synset, of_synset) in enumerate(files.items()):
        if layout == "tars":
            (manual / f"{synset}.tar").write_bytes(fakes.tar_bytes(of_synset))
        if layout == "folders":
            part = "imagenet21k_val" if number % 2 else "imagenet21k_train"
            folder = manual / "imagenet21k_resized" / part / synset
            folder.mkdir(parents=True)
            for name, data in of_synset.items():
                (folder / name).write_bytes(data)
    builder = prepare(manual, tmp_path / "data", num_validation=5)
    shards = {
        name: data
        for name, data in fakes.content_of(builder.data_dir).items()
        if "tfrecord" in name
    }
    assert shards
    reference = fakes.content_of(data_dir / "imagenet21k" / "level0" / "2.0.0")
    assert all(reference[name] == data for name, data in shards.items())


def hostile_tars() -> dict[str, bytes]:
    """Per-synset tars with one of everything that goes wrong."""
    picture = Image.fromarray(fakes.pixels(1))
    wide = Image.fromarray(fakes.pixels(1)[:, :, 0].astype(np.uint16) * 257)
    good = fakes.jpeg(2)
    odd = [
        ("n01443537_0.JPEG", fakes.jpeg(5)),
        ("n01443537_1.JPEG", fakes.encode(picture, "PNG")),
        ("n01443537_2.JPEG", fakes.encode(picture, "WEBP")),
        ("n01443537_3.JPEG", fakes.encode(picture.convert("CMYK"), "JPEG")),
        ("n01443537_4.JPEG", fakes.encode(picture.convert("L"), "JPEG")),
        ("n01443537_5.JPEG", good[: len(good) // 2]),
        ("n01443537_6.JPEG", b""),
        ("n01443537_7.JPEG", b"<html>not found</html>"),
        ("n01443537_8.JPEG", fakes.encode(wide, "PNG")),
        ("../../x", fakes.jpeg(3)),
        ("/etc/n01443537_9.JPEG", fakes.jpeg(4)),
        ("n01443537_10.JPEG", good),
        ("n01443537_0.JPEG", good),
    ]
    cut = fakes.tar_bytes(fakes.synset_files("n02084071", 5, 50))
    third = 2 * (512 + 1024)  # two whole files, header and padded bytes each
    return {
        "n01443537.tar": fakes.tar_bytes(odd),
        "n02084071.tar": cut[: third + 700],
        "n99999999.tar": fakes.tar_bytes(fakes.synset_files("n99999999", 2, 60)),
        "n04399382.tar": fakes.tar_bytes(fakes.synset_files("n04399382", 1, 70)),
        "n02085620.tar": fakes.tar_bytes(fakes.synset_files("n02085620", 3, 80)),
        "../../evil.tar": fakes.tar_bytes(fakes.synset_files("n02085620", 1, 90)),
        "README": b"hello",
    }


def test_hostile_files_are_named_and_the_rest_is_whole(tmp_path):
    tars = hostile_tars()
    (tmp_path / "manual").mkdir()
    (tmp_path / "manual" / "fall11_whole.tar").write_bytes(fakes.tar_bytes(tars))
    builder = prepare(tmp_path / "manual", tmp_path / "data", num_validation=1)
    reasons = fakes.skipped(builder.data_dir)
    assert {name.removeprefix("n01443537.tar/"): reason for name, reason in reasons.items()} == {
        "n01443537_5.JPEG": "truncated image",
        "n01443537_6.JPEG": "empty file",
        "n01443537_7.JPEG": "not an image",
        "../../x": "unsafe path",
        "/etc/n01443537_9.JPEG": "unsafe path",
        "n01443537_0.JPEG": "repeated member",
        "n02084071.tar": "archive cut off or damaged",
        "n99999999.tar/n99999999_0.JPEG": "unknown synset",
        "n99999999.tar/n99999999_1.JPEG": "unknown synset",
        "n04399382.tar/n04399382_0.JPEG": "synset is no leaf",
        "../../evil.tar": "unsafe path",
        "README": "not part of the layout",
    }
    report = builder.report()
    assert report.transcoded == {"PNG": 1, "WebP": 1}  # the PNG of 16 bits a channel
    assert (report.duplicate_groups, report.duplicate_files) == (1, 2)
    assert sum(report.splits.values()) == 7 + 2 + 3
    images = stored(builder)
    source = fakes.synset_files("n02085620", 3, 80) | {
        "n01443537_0.JPEG": fakes.jpeg(2),
        "n01443537_10.JPEG": fakes.jpeg(2),
    }
    assert {name: images[name] for name in source} == source
    assert not [path for path in tmp_path.rglob("*") if path.name in ("x", "evil.tar")]


def test_what_is_stored_of_odd_images_looks_right(tmp_path):
    (tmp_path / "manual").mkdir()
    data = fakes.tar_bytes({"n01443537.tar": hostile_tars()["n01443537.tar"]})
    (tmp_path / "manual" / "fall11_whole.tar").write_bytes(data)
    images = stored(prepare(tmp_path / "manual", tmp_path / "data", num_validation=1))
    colours = fakes.pixels(1).astype(int)
    for number, expected in (
        (1, colours),
        (2, colours),
        (3, colours),
        (4, None),
        (8, np.repeat(colours[:, :, :1], 3, axis=2)),  # 16 bits a channel came to 8
    ):
        stored_image = Image.open(io.BytesIO(images[f"n01443537_{number}.JPEG"]))
        decoded = np.asarray(stored_image.convert("RGB")).astype(int)
        if expected is not None:
            assert np.abs(decoded - expected).mean() < 12


def test_images_lost_in_a_damaged_inner_tar_are_counted(tmp_path):
    """A damaged header in the middle of a synset's tar: three images of six, and the header."""
    tars = {f"{s}.tar": fakes.tar_bytes(files) for s, files in fakes.small_files(6).items()}
    inner = bytearray(tars["n02084071.tar"])
    with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
        inner[archive.getmembers()[2].offset] ^= 1
    (tmp_path / "manual").mkdir()
    outer = fakes.tar_bytes({**tars, "n02084071.tar": bytes(inner)})
    (tmp_path / "manual" / "fall11_whole.tar").write_bytes(outer)
    builder = prepare(tmp_path / "manual", tmp_path / "data", num_validation=1)
    report = builder.report()
    assert sum(report.splits.values()) == 24 - 4
    assert report.num_files == 24 - 1
    with (pathlib.Path(builder.data_dir) / "skipped.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["file"], row["reason"]) == ("n02084071.tar", "archive cut off or damaged")
    assert "2 files stand whole before that, 3 files that can be made out" in row["detail"]


@pytest.mark.parametrize("kind", ARCHIVE_KINDS)
def test_everything_beside_the_folders_in_an_archive_is_named(tmp_path, kind):
    files = fakes.synset_files("n01443537", 3)
    archive = {f"train/n01443537/{name}": data for name, data in files.items()} | {
        "train/n99999999/a.JPEG": fakes.jpeg(50),
        "train/n04399382/b.JPEG": fakes.jpeg(51),
        "README": b"hello",
        "train/n01443537/../../x": fakes.jpeg(52),
    }
    (tmp_path / "manual").mkdir()
    (tmp_path / "manual" / f"resized.{kind}").write_bytes(archive_of(kind, archive))
    builder = prepare(tmp_path / "manual", tmp_path / "data", num_validation=1)
    assert fakes.skipped(builder.data_dir) == {
        "train/n99999999/a.JPEG": "unknown synset",
        "train/n04399382/b.JPEG": "synset is no leaf",
        "README": "not part of the layout",
        "train/n01443537/../../x": "unsafe path",
    }
    assert stored(builder) == files
    assert builder.report().num_files == 7


def test_links_and_strays_in_folders(tmp_path):
    """A linked image is an image; what is in no synset's folder is named."""
    files = fakes.synset_files("n01443537", 2)
    folder = tmp_path / "manual" / "train" / "n01443537"
    folder.mkdir(parents=True)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        (folder / name).symlink_to(tmp_path / name)
    (folder / "gone.JPEG").symlink_to(tmp_path / "nothing")
    (folder / "more").mkdir()
    (folder / "more" / "1.JPEG").write_bytes(fakes.jpeg(3))
    (tmp_path / "manual" / "train" / "stray.JPEG").write_bytes(fakes.jpeg(4))
    builder = prepare(tmp_path / "manual", tmp_path / "data", num_validation=1)
    assert stored(builder) == files
    assert fakes.skipped(builder.data_dir) == {
        "train/n01443537/gone.JPEG": "link that cannot be followed",
        "train/n01443537/more": "not part of the layout",
        "train/stray.JPEG": "not part of the layout",
    }
    assert builder.report().num_files == 5


def test_what_is_no_archive_is_told_by_name(tmp_path):
    (tmp_path / "fall11_whole.tar").write_text("<!DOCTYPE html><html>log in</html>")
    with pytest.raises(SourceError, match=r"fall11_whole.tar is an HTML page"):
        prepare(tmp_path, tmp_path / "data")


def change_time(path: pathlib.Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize("layout", ["tar", "tars", "folders", "archived"])
def test_identity_tells_a_changed_source(tmp_path, layout):
    """The same sizes at another time are another source."""
    files = fakes.small_files(2)
    if layout == "tar":
        touched = fakes.whole_tar(tmp_path, files)
    elif layout == "tars":
        touched = tmp_path / "n01443537.tar"
        touched.write_bytes(fakes.tar_bytes(files["n01443537"]))
    elif layout == "folders":
        touched = tmp_path / "train" / "n01443537" / "1.JPEG"
        touched.parent.mkdir(parents=True)
        touched.write_bytes(fakes.jpeg(1))
    else:
        touched = tmp_path / "resized.zip"
        touched.write_bytes(archive_of("zip", {"n01443537/1.JPEG": fakes.jpeg(1)}))
    leaves = Leaves({}, frozenset())
    before = find_source(tmp_path, leaves).identity()
    assert find_source(tmp_path, leaves).identity() == before
    change_time(touched)
    assert find_source(tmp_path, leaves).identity() != before


def test_a_cut_off_whole_archive_is_an_error_at_the_start(tmp_path):
    path = fakes.whole_tar(tmp_path / "manual", fakes.small_files())
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(SourceError, match=r"fall11_whole.tar is cut off or damaged.*get it again"):
        prepare(tmp_path / "manual", tmp_path / "data")
    path.unlink()
    path = fakes.whole_tar(tmp_path / "manual", fakes.small_files(40), gzipped=True)
    path.write_bytes(path.read_bytes()[:-5_000])
    with pytest.raises(SourceError, match="cut off"):
        prepare(tmp_path / "manual", tmp_path / "data2")


def test_missing_and_ambiguous_sources_are_errors(tmp_path):
    with pytest.raises(SourceError, match="no folder"):
        prepare(tmp_path / "nowhere", tmp_path / "data")
    (tmp_path / "manual").mkdir()
    (tmp_path / "manual" / "notes.txt").write_text("hello")
    with pytest.raises(SourceError, match=r"(?s)no ImageNet-21k in .*notes.txt.*fall11_whole.tar"):
        prepare(tmp_path / "manual", tmp_path / "data")
    fakes.whole_tar(tmp_path / "manual", fakes.small_files(1))
    fakes.whole_tar(tmp_path / "manual", fakes.small_files(1), gzipped=True)
    with pytest.raises(SourceError, match="more than once"):
        prepare(tmp_path / "manual", tmp_path / "data")


def test_a_source_without_one_good_image_is_an_error(tmp_path):
    fakes.whole_tar(tmp_path / "manual", {"n01443537": {"n01443537_0.JPEG": b"no"}})
    with pytest.raises(SourceError, match=r"no usable image among 1 files.*not an image"):
        prepare(tmp_path / "manual", tmp_path / "data")


def test_present_leaves_alone(tmp_path):
    files = {**fakes.small_files(2), "n04399382": fakes.synset_files("n04399382", 2, 900)}
    fakes.whole_tar(tmp_path / "manual", files)
    builder = prepare(tmp_path / "manual", tmp_path / "data", "present_level0")
    assert builder.taxonomy.leaf_ids == tuple(sorted(files))
    assert builder.info.features["label"].names == sorted(files) or set(
        builder.info.features["label"].names
    ) == {builder.taxonomy.names[n] for n in builder.taxonomy.leaf_nodes}
    view = tfds.builder("imagenet21k/present_level3", data_dir=tmp_path / "data")
    assert view.taxonomy.fingerprint == builder.taxonomy.fingerprint
    example = next(iter(view.as_dataset(split="train")))
    assert example["label"].shape == view.info.features["label"].shape
    folder = tfds.builder_from_directory(builder.data_dir)
    dataset = PreparedDataset(folder, builder.taxonomy)
    assert dataset.splits == {"train": 9, "validation": 1}
    assert set(dataset.index("train").labels) <= set(range(5))


def test_a_levels_config_prepares_the_leaves(tmp_path):
    fakes.whole_tar(tmp_path / "manual", fakes.small_files(2))
    view = prepare(tmp_path / "manual", tmp_path / "data", "present_level2")
    assert view.data_dir.endswith("imagenet21k/present_level0/2.0.0")
    assert view.info.features["label"].num_classes == len(
        {n for row in view.taxonomy.ancestors_at("2") for n in row}
    )
    assert next(iter(view.as_dataset(split="train")))["label"].numpy().max() >= 0


def test_tfds_conventions(prepared):
    data_dir, _ = prepared
    builder = tfds.builder("imagenet21k", data_dir=data_dir)
    ids = [e["image_id"] for e in builder.as_dataset(split="train").as_numpy_iterator()]
    part = builder.as_dataset(split="train[3:7]")
    assert [e["image_id"] for e in part.as_numpy_iterator()] == ids[3:7]
    hosts = [
        [e["image_id"] for e in builder.as_dataset(split=split).as_numpy_iterator()]
        for split in tfds.even_splits("train", n=3)
    ]
    assert [len(host) for host in hosts] == [7, 6, 6]
    assert [image_id for host in hosts for image_id in host] == ids
    image, label = next(iter(builder.as_dataset(split="train", as_supervised=True)))
    assert (image.shape, image.dtype, label.dtype) == ((20, 24, 3), tf.uint8, tf.int64)
    again = pickle.loads(pickle.dumps(tfds.builder("imagenet21k/level2", data_dir=data_dir)))
    assert again.info.features["label"].num_classes == 2281
    folder = tfds.builder_from_directory(builder.data_dir)
    assert folder.info.features["label"].num_classes == 21843
    assert folder.info.splits["train"].num_examples == 19


def test_array_record(prepared, tmp_path):
    _, files = prepared
    fakes.whole_tar(tmp_path / "manual", files)
    builder = prepare(tmp_path / "manual", tmp_path / "data", file_format="array_record")
    source = tfds.builder("imagenet21k/level1", data_dir=tmp_path / "data").as_data_source("train")
    assert len(source) == builder.info.splits["train"].num_examples
    assert source[0]["label"].shape == (3,)


def test_other_settings_do_not_go_on_from_a_started_preparation(tmp_path, monkeypatch):
    from fine2coarse.preparation import engine

    fakes.whole_tar(tmp_path / "manual", fakes.small_files(2))

    def fail(task):
        raise RuntimeError("stopped here")

    monkeypatch.setattr(engine, "write_shard", fail)
    with pytest.raises(RuntimeError, match="stopped here"):
        prepare(tmp_path / "manual", tmp_path / "data", num_validation=2)
    monkeypatch.undo()
    with pytest.raises(PreparationError, match="another num_validation: it had"):
        prepare(tmp_path / "manual", tmp_path / "data", num_validation=3)
    builder = prepare(tmp_path / "manual", tmp_path / "data", num_validation=2)
    assert builder.info.splits["validation"].num_examples == 2
    with pytest.raises(PreparationError, match="is prepared with 2 images held out"):
        prepare(tmp_path / "manual", tmp_path / "data", num_validation=3)


def test_wrong_settings_are_errors(tmp_path):
    fakes.whole_tar(tmp_path / "manual", fakes.small_files(2))
    with pytest.raises(ValueError, match="no splits of its own"):
        prepare(tmp_path / "manual", tmp_path / "data", splits=("train",))
    with pytest.raises(ValueError, match="only 8 images"):
        prepare(tmp_path / "manual", tmp_path / "data", num_validation=8)
    with pytest.raises(ValueError, match="num_workers must be at least 1"):
        PrepareConfig(num_workers=0)


class Imagenet21kTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks of a builder."""

    DATASET_CLASS = imagenet21k.Imagenet21k
    SPLITS = {"train": 15, "validation": 1}
    BUILDER_CONFIG_NAMES_TO_TEST = ("level0", "level1", "present_level0")

    @classmethod
    def setUpClass(cls):
        import tempfile

        folder = pathlib.Path(tempfile.mkdtemp(prefix="f2c-imagenet21k-"))
        fakes.whole_tar(folder, fakes.small_files(4))
        cls.EXAMPLE_DIR = folder
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        import shutil

        super().tearDownClass()
        shutil.rmtree(cls.EXAMPLE_DIR)


@pytest.mark.slow
def test_the_miniature_archive(shared_data, tmp_path):
    """Every image of the real archive, byte for byte."""
    builder = prepare(shared_data / "imagenet21k_mini", tmp_path, "present_level0")
    assert builder.report().num_files == 40_000
    assert sum(builder.report().splits.values()) == 40_000
    assert builder.info.features["label"].num_classes == 200
    expected = {}
    with tarfile.open(shared_data / "imagenet21k_mini" / "fall11_whole.tar") as outer:
        for inner in outer:
            data = outer.extractfile(inner).read()
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                for member in archive:
                    image = archive.extractfile(member).read()
                    expected[member.name] = hashlib.sha256(image).digest()
    found = {name: hashlib.sha256(data).digest() for name, data in stored(builder).items()}
    assert found == expected


def test_metadata_is_plain_json(prepared):
    folder = prepared[0] / "imagenet21k" / "level0" / "2.0.0"
    assert json.loads((folder / "preparation.json").read_text())["num_files"] == 24


def test_a_source_that_changed_is_noticed_where_it_is_given(tmp_path):
    path = fakes.whole_tar(tmp_path / "in", fakes.small_files(2))

    def prepare(**settings):
        builder = tfds.builder("imagenet21k/present_level0", data_dir=tmp_path / "data")
        builder.download_and_prepare(download_config=PrepareConfig(**settings))
        return builder.info.splits["train"].num_examples

    num_train = prepare(manual_dir=tmp_path / "in")
    assert prepare(manual_dir=tmp_path / "in") == num_train
    path.unlink()
    fakes.whole_tar(tmp_path / "in", fakes.small_files(3))
    with pytest.raises(PreparationError, match=r"has changed since .* leave manual_dir out"):
        prepare(manual_dir=tmp_path / "in")
    assert prepare() == num_train
    (tmp_path / "in" / path.name).unlink()
    assert prepare(manual_dir=tmp_path / "in") == num_train  # nothing there to compare with
