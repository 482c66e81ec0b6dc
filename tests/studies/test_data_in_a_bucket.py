"""Prepared data in a bucket: streamed from there, the same batches and results as from a disk."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import tensorflow as tf

import fine2coarse
from fine2coarse.datasets.open import open_dataset
from fine2coarse.errors import UsageError
from fine2coarse.input import Examples, eval_batches, train_batches
from fine2coarse.recipes.phase_spec import AugmentSpec
from fine2coarse.recipes.recipe import DatasetSpec
from fine2coarse.studies import storage
from fine2coarse.studies.storage import choose_storage, open_examples
from tests.bucket import bucket_at

OPTIONS = {"num_train": 64, "num_test_easy": 8, "num_test_hard": 8}


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """The address of a bucket whose folder `data` holds the demo, prepared; and that folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "bucket"
    assert open_dataset("demo", OPTIONS, str(folder / "data")).contents  # with its index
    with bucket_at(folder) as address:
        yield f"{address}/data", str(folder / "data")


def opened(data_dir: str, split: str, how: str) -> Examples:
    spec = DatasetSpec("demo", OPTIONS, storage=how, stream_window_images=32)
    return open_examples(open_dataset("demo", OPTIONS, data_dir, prepare=False), split, spec)


def batches_of(data_dir: str, how: str) -> list[dict]:
    train, test = (opened(data_dir, split, how) for split in ("train", "test"))
    first = train_batches(
        train,
        np.asarray(train.leaf_labels, np.int32)[:, None],
        batch_size=16,
        num_steps=6,
        image_size_px=16,
        augment=AugmentSpec(),
        seed=0,
    )
    second = eval_batches(
        test, np.asarray(test.leaf_labels, np.int32)[:, None], batch_size=16, image_size_px=16
    )
    return [*first.as_numpy_iterator(), *second.as_numpy_iterator()]


def assert_same(ours: list[dict], theirs: list[dict]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert all(np.array_equal(a[key], b[key]) for key in (a | b))


def test_a_bucket_gives_the_batches_that_the_same_files_give_on_a_disk(bucket):
    remote, local = bucket
    assert_same(batches_of(remote, "stream"), batches_of(local, "stream"))
    assert_same(batches_of(remote, "disk"), batches_of(local, "memory"))


def test_what_is_chosen_and_why_is_logged(bucket, caplog, monkeypatch):
    remote, local = bucket
    monkeypatch.setattr(storage, "MAX_DECODED_BYTES", 1000)
    caplog.set_level(logging.INFO)
    assert opened(remote, "train", "auto").is_streamed
    assert "64 images of train" in caplog.text and "in a bucket" in caplog.text
    assert (
        opened(local, "train", "auto").is_stored and not opened(local, "train", "auto").is_streamed
    )
    assert "are read from random places of their files: they are more than" in caplog.text
    assert "files in sequence: dataset.storage=stream" not in caplog.text
    opened(local, "train", "stream")
    assert "files in sequence: dataset.storage=stream" in caplog.text


def test_a_part_of_a_split_is_measured_by_its_own_size(bucket, monkeypatch):
    _, local = bucket
    whole = open_dataset("demo", OPTIONS, local).index("train").size.sum()
    monkeypatch.setattr(storage, "MAX_DECODED_BYTES", int(whole) - 1)
    assert opened(local, "train", "auto").is_stored
    half = opened(local, "train[:50%]", "auto")
    assert not half.is_stored and len(half) == 32


@pytest.mark.parametrize(
    ("wanted", "num_bytes", "remote", "chosen"),
    [
        ("auto", 1, True, "memory"),
        ("auto", 1 << 40, False, "disk"),
        ("auto", 1 << 40, True, "stream"),
        ("disk", 1, True, "disk"),
        ("memory", 1 << 40, True, "memory"),
        ("stream", 1, False, "stream"),
    ],
)
def test_storage_by_size_and_place(wanted, num_bytes, remote, chosen):
    assert choose_storage(wanted, num_bytes, remote)[0] == chosen


@pytest.mark.slow
def test_a_study_from_a_bucket_is_the_study_from_a_disk(bucket, tmp_path):
    changes = {"dataset.storage": "stream", "dataset.stream_window_images": 32}
    recipe = fine2coarse.load_config("demo:smoke", changes)
    assert open_dataset("demo", recipe.dataset.options.to_dict(), bucket[1]).contents
    for name, data_dir in zip(("remote", "local"), bucket, strict=True):
        fine2coarse.run_study(recipe, tmp_path / name, data_dir=data_dir, report=False)
    tables = [(tmp_path / name / "results.csv").read_text("utf-8") for name in ("remote", "local")]
    assert [line.split(",")[:6] for line in tables[0].splitlines()] == [
        line.split(",")[:6] for line in tables[1].splitlines()
    ]


def test_what_cannot_be_read_is_one_line(bucket, tmp_path):
    _, local = bucket
    examples = opened(local, "train", "disk")
    path = examples.images.places.paths[0]
    tf.io.gfile.remove(path)
    with pytest.raises(UsageError, match="cannot be read"):
        examples.images.records(np.arange(2))
