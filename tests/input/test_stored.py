"""Images left on disk give the very batches that images in memory give."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.input import Examples, Shard, eval_batches, stored_examples
from fine2coarse.input.batches import train_batches
from fine2coarse.input.image_shares import select_share
from fine2coarse.recipes.phase_spec import AugmentSpec


def jpegs(count: int) -> list[bytes]:
    generator = np.random.default_rng(0)
    return [
        tf.io.encode_jpeg(generator.integers(0, 255, (20 + i, 30, 3), np.uint8)).numpy()
        for i in range(count)
    ]


@pytest.fixture
def shards(tmp_path):
    """Ten images in shards of 4, 0 and 6."""
    paths, images = [], jpegs(10)
    for number, members in enumerate([images[:4], [], images[4:]]):
        paths.append(str(tmp_path / f"x.tfrecord-{number}"))
        with tf.io.TFRecordWriter(paths[-1]) as writer:
            for encoded in members:
                feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))
                example = tf.train.Example(features=tf.train.Features(feature={"image": feature}))
                writer.write(example.SerializeToString())
    return paths


def both(shards: list[str]) -> tuple[Examples, Examples]:
    ids, labels = tuple(f"i{i}" for i in range(10)), np.arange(10)
    memory = Examples(tf.constant(jpegs(10)), ids, labels)
    return memory, stored_examples(shards, ids, labels, None)


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
    with pathlib.Path(shards[2]).open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(ValueError, match="beyond the file's end"):
        both(shards)


def test_another_number_of_images_is_an_error(shards):
    with pytest.raises(ValueError, match="hold 4 images, expected 2"):
        stored_examples(shards[:1], ("a", "b"), np.arange(2), None)


def test_held_out_images_depend_on_their_ids_alone():
    ids = [f"image{i}" for i in range(100)]
    first = {ids[i] for i in np.flatnonzero(select_share(ids, 0.2))}
    turned = ids[::-1]
    assert len(first) == 20
    assert {turned[i] for i in np.flatnonzero(select_share(turned, 0.2))} == first
    with pytest.raises(ValueError, match="at least one on each side"):
        select_share(ids[:3], 0.1)
