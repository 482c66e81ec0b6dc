"""Images left on disk give the very batches that images in memory give."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import threading
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from array_record.python.array_record_module import ArrayRecordWriter

from fine2coarse.errors import UsageError
from fine2coarse.input import Examples, Shard, eval_batches, record_reader
from fine2coarse.input.batches import train_batches
from fine2coarse.input.image_shares import select_share
from fine2coarse.input.record_reader import OpenFiles, RecordPlaces, read_records
from fine2coarse.input.stored import StoredImages
from fine2coarse.preparation.record_index import record_places, scan_tfrecord
from fine2coarse.recipes.phase_spec import AugmentSpec
from tests.processes import start


def jpegs(count: int) -> list[bytes]:
    generator = np.random.default_rng(0)
    return [
        tf.io.encode_jpeg(generator.integers(0, 255, (20 + i, 30, 3), np.uint8)).numpy()
        for i in range(count)
    ]


@pytest.fixture
def shards(tmp_path):
    """Ten images in shards of 4, 0 and 6."""
    images = jpegs(10)
    return write_shards(tmp_path, [images[:4], [], images[4:]])


def write_shards(folder: pathlib.Path | str, groups: list[list[bytes]]) -> list[str]:
    """TFRecord files, each of a group of encoded images."""
    paths = []
    for number, members in enumerate(groups):
        paths.append(f"{folder}/x.tfrecord-{number}")
        with tf.io.TFRecordWriter(paths[-1]) as writer:
            for encoded in members:
                feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))
                example = tf.train.Example(features=tf.train.Features(feature={"image": feature}))
                writer.write(example.SerializeToString())
    return paths


def places_in(paths: list[str], file_format: str = "tfrecord") -> RecordPlaces:
    sizes = [scan_tfrecord(path) for path in paths]
    shard, offset = record_places(np.concatenate(sizes), [len(s) for s in sizes], file_format)
    return RecordPlaces(tuple(paths), file_format, shard, offset, np.concatenate(sizes))


def stored(paths: list[str], window_images: int = 0) -> Examples:
    places = places_in(paths)
    ids, labels = [f"i{i}" for i in range(len(places))], np.arange(len(places))
    return Examples(StoredImages(places, window_images=window_images), ids, labels)


def both(shards: list[str]) -> tuple[Examples, Examples]:
    memory = Examples(tf.constant(jpegs(10)), tuple(f"i{i}" for i in range(10)), np.arange(10))
    return memory, stored(shards)


def train(examples: Examples, shard: Shard | None = None, first_step: int = 0) -> list[dict]:
    batches = train_batches(
        examples,
        np.arange(10, dtype=np.int32)[:, None],
        batch_size=4,
        num_steps=5,
        image_size_px=8,
        augment=AugmentSpec(rand_augment_ops=1),
        seed=1,
        first_step=first_step,
        mixup=0.4,
        shard=shard or Shard(),
    )
    return list(batches.as_numpy_iterator())


def assert_same(ours: list[dict], theirs: list[dict]) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


def test_same_batches_from_disk_and_memory_and_after_a_restart(shards):
    memory, disk = both(shards)
    whole = train(memory)
    assert_same(train(disk), whole)
    assert_same(train(disk, first_step=3), whole[3:])


def test_same_evaluation_and_subset(shards):
    memory, disk = both(shards)
    mask = np.arange(10) % 3 == 0
    for ours, theirs in ((disk, memory), (disk.subset(mask), memory.subset(mask))):
        labels = ours.leaf_labels[:, None]
        a, b = (
            list(eval_batches(e, labels, batch_size=4, image_size_px=8).as_numpy_iterator())
            for e in (ours, theirs)
        )
        assert_same(a, b)


def test_hosts_together_read_what_one_reads_alone(shards):
    memory, _ = both(shards)
    whole = train(memory)
    parts = [train(memory, Shard(index, 2, 1)) for index in (0, 1)]
    for step, batch in enumerate(whole):
        for key in batch:
            joined = np.concatenate([part[step][key] for part in parts])
            np.testing.assert_array_equal(joined, batch[key])


def test_a_shard_cut_short_is_an_error(shards):
    examples = stored(shards)
    with pathlib.Path(shards[2]).open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(UsageError, match="cut short at byte 1000"):
        examples.images.records(np.arange(10))
    with pytest.raises(UsageError, match="cut short; record 0 is not whole"):
        scan_tfrecord(shards[2])
    with pytest.raises(UsageError, match=r"nowhere: cannot be read \(No such file"):
        record_reader.read_range(f"{shards[2]}-nowhere", 0, 1)


@pytest.mark.parametrize("max_gap", [0, 100, 1 << 20])
def test_records_in_any_order_one_by_one_or_in_long_pieces(shards, max_gap):
    wanted = np.asarray([9, 0, 3, 3, 5, 4])
    places = places_in(shards)
    found = read_records(places, wanted, max_gap)
    assert found == [read_records(places, [row])[0] for row in wanted]
    assert [r[r.index(b"\xff\xd8") :] for r in found] == [jpegs(10)[row] for row in wanted]


def test_array_records_give_the_same_images(tmp_path, shards):
    records = read_records(places_in(shards), np.arange(10))
    path = str(tmp_path / "x.array_record-0")
    writer = ArrayRecordWriter(path, "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()
    sizes = np.asarray([len(record) for record in records])
    places = RecordPlaces(
        (path,), "array_record", *record_places(sizes, [10], "array_record"), sizes
    )
    assert read_records(places, np.asarray([7, 0, 7])) == [records[7], records[0], records[7]]


def test_formats_that_cannot_be_read_in_place_are_refused_by_name(shards):
    places = places_in(shards)
    with pytest.raises(UsageError, match=r"'riegeli' cannot .* only tfrecord and array_record"):
        dataclasses.replace(places, file_format="riegeli").check_readable()
    with pytest.raises(UsageError, match=r"gs://b/x: ArrayRecord .* prepare the dataset as tfrec"):
        dataclasses.replace(
            places, file_format="array_record", paths=("gs://b/x",)
        ).check_readable()


def test_few_files_stay_open_however_many_are_read():
    opened, closed = [], []
    files = OpenFiles(lambda path: opened.append(path) or path, closed.append, limit=3)
    for number in range(100):
        with files.use(f"f{number}"):
            assert len(opened) - len(closed) <= 4
    assert len(opened) - len(closed) == 3
    with files.use("f99"), files.use("f99"):  # one that is in use is nobody else's
        assert opened[100:] == ["f99"]


def num_open() -> int:
    return len(list(pathlib.Path("/proc/self/fd").iterdir()))


def test_a_thousand_shards_are_read_with_few_descriptors(tmp_path):
    """As fall11's 2,048: the process may have 1,024 open; here the limit is 8."""
    image = jpegs(1)
    examples = stored(write_shards(tmp_path, [image] * 40))
    before = num_open()
    files = OpenFiles(lambda path: os.open(path, os.O_RDONLY), os.close, limit=8)
    with mock.patch.object(record_reader, "_descriptors", lambda: files):
        assert len(examples.images.records(np.arange(40))) == 40
    assert num_open() - before == 8


def test_a_disk_is_read_in_parallel_though_operations_are_deterministic(tmp_path):
    """Two calls wait for each other; TensorFlow runs those of stateful operations one by one."""
    tf.config.experimental.enable_op_determinism()
    examples, two = (
        stored(write_shards(tmp_path, [jpegs(1) * 64])),
        threading.Barrier(2, timeout=60),
    )
    read = StoredImages._read

    def wait_for_another(self: StoredImages, rows: np.ndarray) -> np.ndarray:
        two.wait()
        return read(self, rows)

    labels = np.zeros((64, 1), np.int32)
    with mock.patch.object(StoredImages, "_read", wait_for_another):
        batches = list(eval_batches(examples, labels, batch_size=32, image_size_px=8))
    assert len(batches) == 2


def test_arrays_stay_on_the_host_wherever_they_are_made(tmp_path):
    """Not on an accelerator, which a second logical CPU stands in for."""
    program = tmp_path / "on_the_host.py"
    program.write_text(ON_THE_HOST, encoding="utf-8")
    output, errors = start(program, {}).communicate()
    assert output.splitlines()[-1].split() == ["CPU:0"] * 4, errors


ON_THE_HOST = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from fine2coarse.input import load_examples
from fine2coarse.input.examples import _decoded_if_even
png = tf.io.encode_png(np.zeros((4, 4, 3), np.uint8)).numpy()
other = tf.io.encode_png(np.zeros((5, 4, 3), np.uint8)).numpy()
with tf.device("CPU:1"):
    even = load_examples(
        tf.data.Dataset.from_tensors({"image": png, "image_id": b"a", "label": 0})
    )
    found = [
        even.images, _decoded_if_even([png, other]), even.subset(np.ones(1, bool)).images,
        even.with_features(np.zeros((1, 2), np.float32)).images_for_tensorflow,
    ]
print(*(tensor.device.split("device:")[1] for tensor in found))
"""


def test_held_out_images_depend_on_their_ids_alone():
    ids = [f"image{i}" for i in range(100)]
    first = {ids[i] for i in np.flatnonzero(select_share(ids, 0.2))}
    turned = ids[::-1]
    assert len(first) == 20
    assert {turned[i] for i in np.flatnonzero(select_share(turned, 0.2))} == first
    with pytest.raises(ValueError, match="at least one on each side"):
        select_share(ids[:3], 0.1)
