"""Streamed images: every image once an epoch over all hosts, exact after a restart."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import subprocess
import sys
import threading
import uuid
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.input import Examples, Shard, record_reader
from fine2coarse.input.batches import train_batches
from fine2coarse.input.stored import StoredImages
from fine2coarse.input.stream_order import StreamOrder
from fine2coarse.recipes.phase_spec import AugmentSpec
from tests.input.test_stored import assert_same, jpegs, places_in, write_shards

BATCH = 6


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Twenty images in shards of 7, 1, 0 and 12."""
    images = jpegs(20)
    groups = [images[:7], images[7:8], [], images[8:]]
    return write_shards(tmp_path_factory.mktemp("shards"), groups)


def examples(paths: list[str], window_images: int = 8) -> Examples:
    places = places_in(paths)
    ids = [f"i{row}" for row in range(len(places))]
    images = StoredImages(places, window_images=window_images)
    return Examples(images, ids, np.arange(len(places)))


def train(
    of: Examples, shard: Shard | None = None, first_step: int = 0, labels: np.ndarray | None = None
) -> list[dict]:
    batches = train_batches(
        of,
        np.arange(len(of), dtype=np.int32)[:, None] if labels is None else labels,
        batch_size=BATCH,
        num_steps=11,
        image_size_px=8,
        augment=AugmentSpec(crop="inception", flip=True),
        seed=3,
        first_step=first_step,
        mixup=0.4,
        shard=shard or Shard(),
    )
    return list(batches.as_numpy_iterator())


def shown(batches: list[dict]) -> list[int]:
    return np.concatenate([batch["label"][:, 0] for batch in batches]).tolist()


def test_every_image_once_an_epoch_in_another_order_each(shards):
    rows = shown(train(examples(shards)))
    epochs = [rows[:20], rows[20:40], rows[40:60]]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_hosts_together_read_what_one_reads_alone_and_each_only_its_own(shards):
    whole = train(examples(shards))
    read, parts = [], []
    for index in range(3):
        of = examples(shards)
        with mock.patch.object(StoredImages, "records", noting(read_rows := [])):
            parts.append(train(of, Shard(index, 3, 1)))
        read.append(flat(read_rows))
    for step, batch in enumerate(whole):
        for key in batch:
            joined = np.concatenate([part[step][key] for part in parts])
            np.testing.assert_array_equal(joined, batch[key])
    assert sorted(flat(read)) == sorted(shown(whole))  # each image as often as it was shown
    assert all(sorted(rows) == sorted(shown(part)) for rows, part in zip(read, parts, strict=True))


def flat(lists: list[list[int]]) -> list[int]:
    return list(itertools.chain.from_iterable(lists))


def noting(read: list[list[int]]):
    records = StoredImages.records

    def note(self: StoredImages, rows: np.ndarray) -> list[bytes]:
        read.append(list(rows))
        return records(self, rows)

    return note


@pytest.mark.parametrize("first_step", [1, 4, 10])
def test_a_restart_at_any_step_is_exact_and_reads_nothing_of_before(shards, first_step):
    whole = train(examples(shards))
    with mock.patch.object(StoredImages, "records", noting(read := [])):
        again = train(examples(shards), first_step=first_step)
    assert_same(again, whole[first_step:])
    assert len(flat(read)) == BATCH * (11 - first_step)


def test_images_without_a_label_are_left_out(shards):
    labels = np.arange(20, dtype=np.int32)[:, None]
    labels[::3] = -1
    rows = shown(train(examples(shards), labels=labels))
    covered = [row for row in range(20) if row % 3]
    assert sorted(rows[: len(covered)]) == covered


def test_each_image_is_the_one_its_label_says(shards):
    """Images are 20 to 39 high: their pixels come from the very record."""
    of = examples(shards)
    for batch in train(of)[:4]:
        for image, label in zip(batch["image"], batch["label"][:, 0], strict=True):
            assert image.shape == (8, 8, 3) and label >= 0
    heights = [tf.io.decode_jpeg(of.images[row]).shape[0] for row in (0, 7, 19)]
    assert heights == [20, 27, 39]


def test_a_bucket_is_read_through_tensorflows_file_systems():
    """`ram://` stands in for `gs://`."""
    folder = f"ram://{uuid.uuid4().hex}"
    tf.io.gfile.makedirs(folder)
    images = jpegs(20)
    with mock.patch("tests.input.test_stored.scan_tfrecord", scan_through_gfile):
        of = examples(write_shards(folder, [images[:9], images[9:]]))
    rows = shown(train(of))
    assert sorted(rows[:20]) == list(range(20))
    with pytest.raises(ValueError, match=r"ram://.*nowhere: cannot be read"):
        record_reader.read_range(f"{folder}/nowhere", 0, 1)


def scan_through_gfile(path: str) -> np.ndarray:
    return np.asarray([len(record) for record in tf.data.TFRecordDataset(path).as_numpy_iterator()])


def test_all_lanes_begin_to_read_at_the_same_time(shards):
    """A bucket takes its time to begin: six lanes wait for it together."""
    read_range, all_six = record_reader.read_range, threading.Barrier(6, timeout=60)

    def wait_for_all(path: str, offset: int, size: int) -> bytes:
        all_six.wait()
        return read_range(path, offset, size)

    with mock.patch.object(record_reader, "read_range", wait_for_all):
        batches = train_batches(
            examples(shards[:1], 60),  # each lane reads once
            np.zeros((7, 1), np.int32),
            batch_size=BATCH,
            num_steps=1,
            image_size_px=8,
            augment=AugmentSpec(),
            seed=0,
        )
        assert len(list(batches)) == 1


def order(sizes: list[int], **settings) -> StreamOrder:
    shards = np.repeat(np.arange(len(sizes)), sizes)
    return StreamOrder(shards, **{"batch_size": 8, "seed": 1, "window_images": 64} | settings)


def rows_of(of: StreamOrder, num_batches: int) -> np.ndarray:
    """The rows of the first batches: [num_batches, batch]."""
    lanes = []
    for lane, width in enumerate(of.lane_width):
        count = num_batches * width
        windows = [of.window_rows(lane, n) for n in range(of.windows(lane, count))]
        lanes.append(np.concatenate(windows)[:count].reshape(num_batches, width))
    return np.concatenate(lanes, axis=1)


@pytest.mark.parametrize("sizes", [[1], [3], [5, 9, 1, 20], [40, 40, 41], [300] * 7])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_order_holds_each_image_once_an_epoch(sizes, batch_size):
    of = order(sizes, batch_size=batch_size, window_images=50)
    rows = rows_of(of, -(-3 * sum(sizes) // batch_size)).ravel()
    for epoch in range(3):
        part = rows[epoch * sum(sizes) : (epoch + 1) * sum(sizes)]
        assert sorted(part) == list(range(sum(sizes)))


def test_the_order_is_that_of_its_seed():
    sizes = [50] * 8
    first = rows_of(order(sizes), 50)
    np.testing.assert_array_equal(first, rows_of(order(sizes), 50))
    assert not np.array_equal(first, rows_of(order(sizes, seed=2), 50))


def test_a_batch_holds_images_of_many_shards():
    of = order([500] * 40, batch_size=64, window_images=640)
    shards = rows_of(of, 100) // 500
    assert np.mean([len(set(batch)) for batch in shards.tolist()]) > 20  # of 32 lanes, 40 shards


@pytest.mark.slow  # a Python of its own, whose shutting down this is about
@pytest.mark.parametrize("ending", ["exit", "error"])
def test_a_program_ends_while_images_are_read(tmp_path, shards, ending):
    """A compiled function holds an iterator when Python shuts down: it hung for ever."""
    program = tmp_path / "ending.py"
    program.write_text(ENDING, encoding="utf-8")
    settings = json.dumps({"shards": shards, "ending": ending})
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])}
    process = subprocess.run(
        [sys.executable, program, settings], env=environment, capture_output=True, timeout=120
    )
    assert process.returncode == {"exit": 75, "error": 1}[ending], process.stderr[-2000:]


ENDING = """
import json, sys, time
import numpy as np, tensorflow as tf
from fine2coarse.input import record_reader
from tests.input.test_stream import examples, train_batches, AugmentSpec
settings, read_range = json.loads(sys.argv[1]), record_reader.read_range

def slow(*arguments):
    time.sleep(0.02)
    return read_range(*arguments)

of = examples(settings["shards"], 0)
record_reader.read_range = slow
batches = train_batches(
    of, np.zeros((20, 1), np.int32), batch_size=6, num_steps=5000, image_size_px=8,
    augment=AugmentSpec(), seed=0,
)
iterator = iter(batches)
step = tf.function(lambda: next(iterator))
for _ in range(3):
    step()
if settings["ending"] == "exit":
    sys.exit(75)
raise ValueError("an error that nobody catches")
"""
