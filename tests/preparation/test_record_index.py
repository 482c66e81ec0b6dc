"""The index beside the records: what it holds, where it is kept, when it is not believed."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.datasets.open import open_dataset
from fine2coarse.errors import UsageError
from fine2coarse.image_ids import ImageIds
from fine2coarse.preparation.record_index import (
    SplitIndex,
    cache_folder,
    read_index,
    record_places,
    scan_tfrecord,
    write_index,
)
from tests.bucket import bucket_at
from tests.datasets import fakes

COUNTS = {"train": 3, "test": 1}


def split_index(count: int, hard: bool = False) -> SplitIndex:
    rows = np.arange(count)
    return SplitIndex(
        ImageIds.of(f"é{row}" for row in rows),
        rows.astype(np.int32),
        rows % 2 == 0 if hard else None,
        rows.astype(np.int32),
        rows.astype(np.int64) * 1000,
        rows.astype(np.int32) + 5,
    )


@pytest.fixture
def folder(tmp_path):
    write_index(tmp_path, {"train": split_index(3, hard=True), "test": split_index(1)})
    return tmp_path


def test_what_is_written_is_read_memory_mapped(folder):
    found = read_index(folder, COUNTS)
    train = found["train"]
    assert list(train.image_ids) == ["é0", "é1", "é2"] and found["test"].hard is None
    assert train.hard.tolist() == [True, False, True] and train.size.tolist() == [5, 6, 7]
    assert all(isinstance(column.base, np.memmap) for column in train.columns().values())
    assert train.take(slice(1, 3)).offset.tolist() == [1000, 2000]
    whole = train.take(slice(0, 3)).moved(0)  # what a study asks for copies nothing
    assert all(np.shares_memory(*pair) for pair in _pairs(whole, train))
    assert train.moved(5).shard.tolist() == [5, 6, 7]


def _pairs(ours: SplitIndex, theirs: SplitIndex):
    return zip(ours.columns().values(), theirs.columns().values(), strict=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "index.json").write_text("{"),
        lambda folder: (folder / "index-train-size.npy").unlink(),
        lambda folder: (folder / "index-train-ids.npy").write_bytes(b"PK"),
        lambda folder: np.save(folder / "index-train-size.npy", np.zeros(2, np.int32)),
        lambda folder: np.save(folder / "index-test-ids.npy", np.asarray([1])),
        lambda folder: (folder / "index.json").write_text(
            (folder / "index.json").read_text().replace('"version": 1', '"version": 2')
        ),
    ],
)
def test_an_index_that_is_damaged_or_of_another_form_is_none(folder, damage):
    damage(folder)
    assert read_index(folder, COUNTS) is None


def test_an_index_of_other_data_is_none(folder):
    assert read_index(folder, {"train": 4, "test": 1}) is None
    assert read_index(folder, {"train": 3}) is None


def test_places_in_shards():
    sizes = np.asarray([10, 20, 30, 5])
    shard, offset = record_places(sizes, [2, 0, 2], "tfrecord")
    assert shard.tolist() == [0, 0, 2, 2]
    assert offset.tolist() == [12, 12 + 10 + 16, 12, 12 + 30 + 16]
    shard, number = record_places(sizes, [1, 3], "array_record")
    assert (shard.tolist(), number.tolist()) == ([0, 1, 1, 1], [0, 0, 1, 2])
    assert [len(found) for found in record_places(sizes[:0], [], "tfrecord")] == [0, 0]


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_preparing_writes_the_index_and_it_names_the_very_records(tmp_path, file_format):
    from fine2coarse.datasets.imagenet21k import Imagenet21k
    from fine2coarse.datasets.leveled import PrepareConfig
    from fine2coarse.datasets.prepared import PreparedDataset
    from fine2coarse.studies.storage import stored_examples

    fakes.whole_tar(tmp_path / "manual", fakes.small_files(3))
    builder = Imagenet21k(config="present_level0", data_dir=tmp_path / "data")
    config = PrepareConfig(manual_dir=tmp_path / "manual", num_validation=4, num_shards=3)
    builder.download_and_prepare(download_config=config, file_format=file_format)
    folder = pathlib.Path(builder.data_dir)
    assert (folder / "index.json").is_file()
    dataset = PreparedDataset(builder, builder.taxonomy)
    read = list(dataset.read("train").as_numpy_iterator())
    index = dataset.index("train")
    assert list(index.image_ids) == [example["image_id"].decode() for example in read]
    assert index.labels.tolist() == [example["label"] for example in read]
    images = stored_examples(dataset, "train").images
    assert [images[row].numpy() for row in range(8)] == [example["image"] for example in read]

    told = json.loads((folder / "index.json").read_text())
    for path in folder.glob("index*"):
        path.unlink()
    again = PreparedDataset(builder, builder.taxonomy).index("train")  # as of an earlier version
    now = json.loads((folder / "index.json").read_text())
    assert now == told or (file_format == "array_record" and now.keys() == told.keys())
    for name, column in index.columns().items():
        if name != "size" or file_format == "tfrecord":  # of array records the images' own
            np.testing.assert_array_equal(column, again.columns()[name])


def test_parts_of_splits_and_splits_together(tmp_path):
    dataset = open_dataset("demo", {"num_train": 32, "num_test_easy": 8}, str(tmp_path))
    whole = dataset.index("train")
    part = dataset.index("train[:50%]")
    assert list(part.image_ids) == list(whole.image_ids)[:16]
    both = dataset.index("train[30:]+test[:2]")
    assert list(both.image_ids) == [*whole.image_ids[30:], *dataset.index("test").image_ids[:2]]
    assert both.shard.tolist() == [0, 0, 1, 1]
    paths = dataset.paths("train[30:]+test[:2]")
    assert ["train" in path for path in paths] == [True, False]


def test_where_the_folder_takes_no_file_the_index_is_kept_in_a_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    dataset = open_dataset("demo", {"num_train": 32}, str(tmp_path / "data"))
    folder = pathlib.Path(dataset.builder.data_dir)
    for path in [*folder.glob("index*"), *folder.glob("contents*")]:
        path.unlink()
    (folder / "index.json").mkdir()  # a name that no file can take; root writes read-only folders
    (folder / "contents.json").mkdir()
    first = open_dataset("demo", {"num_train": 32}, str(tmp_path / "data"))
    assert len(first.index("train")) == 32
    assert (cache_folder(folder) / "index.json").is_file()
    again = open_dataset("demo", {"num_train": 32}, str(tmp_path / "data"))
    monkeypatch.setattr(type(again), "read", None)  # nothing is read again
    assert list(again.index("train").image_ids) == list(first.index("train").image_ids)
    assert again.fingerprint == first.fingerprint


def test_repeated_ids_are_refused(tmp_path, monkeypatch):
    dataset = open_dataset("demo", {"num_train": 32}, str(tmp_path))
    same = tf.data.Dataset.from_tensors({"image": b"", "image_id": b"x", "label": 0}).repeat(2)
    monkeypatch.setattr(type(dataset), "read", lambda self, split: same)
    for path in pathlib.Path(dataset.builder.data_dir).glob("index*"):
        path.unlink()
    with pytest.raises(UsageError, match=r"image ids of split 'train' repeat, such as \['x'\]"):
        dataset.index("train")


def test_a_file_cut_short_is_told(tmp_path):
    path = tmp_path / "x"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"12345")
    assert scan_tfrecord(path).tolist() == [5]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UsageError, match="cut short; record 0 is not whole"):
        scan_tfrecord(path)


def test_a_copy_of_a_buckets_index_is_made_again_where_its_data_changed(tmp_path, monkeypatch):
    """As many images of as many bytes, with other labels."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    first = split_index(3)
    with bucket_at(tmp_path) as address:
        for labels in ([0, 1, 2], [2, 1, 0]):
            split = dataclasses.replace(first, labels=np.asarray(labels, np.int32))
            write_index(tmp_path / "data", {"train": split})
            found = read_index(f"{address}/data", {"train": 3})
            assert found["train"].labels.tolist() == labels
            assert str(tmp_path / "cache") in found["train"].labels.base.filename


def test_a_bucket_without_an_index_has_none(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with bucket_at(tmp_path) as address:
        assert read_index(f"{address}/nowhere", COUNTS) is None
