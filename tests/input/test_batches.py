"""Batches: reproducible, resumable, complete."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.input import Examples, eval_batches, train_batches
from fine2coarse.input.batches import _shuffled
from fine2coarse.labels import LabelSpaceError
from fine2coarse.recipes.phase_spec import AugmentSpec
from fine2coarse.training.tensorflow.distribution import distribute, make_strategy

PLAIN = AugmentSpec(crop="none", flip=False)


def numbered_images(count: int, size: int = 8) -> Examples:
    """Image i is filled with the value i."""
    images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((size, size, 3))
    return Examples(
        tf.constant(images.astype(np.uint8)), tuple(f"i{i}" for i in range(count)), np.arange(count)
    )


def jpeg_images(count: int) -> Examples:
    generator = np.random.default_rng(0)
    encoded = [
        tf.io.encode_jpeg(generator.integers(0, 255, (20 + i, 30, 3), np.uint8)).numpy()
        for i in range(count)
    ]
    return Examples(tf.constant(encoded), tuple(map(str, range(count))), np.arange(count))


def batches_of(examples: Examples, **changes):
    settings = {"batch_size": 4, "num_steps": 6, "image_size_px": 8, "augment": PLAIN, "seed": 1}
    labels = np.arange(len(examples), dtype=np.int32)[:, None]
    return list(train_batches(examples, labels, **{**settings, **changes}).as_numpy_iterator())


def test_every_epoch_shows_every_image_once_in_another_order():
    batches = batches_of(numbered_images(12), num_steps=6)
    labels = np.concatenate([batch["label"][:, 0] for batch in batches])
    first, second = labels[:12], labels[12:]
    assert sorted(first) == sorted(second) == list(range(12))
    assert list(first) != list(second)


def test_image_and_label_belong_together():
    for batch in batches_of(numbered_images(12)):
        np.testing.assert_allclose(
            batch["image"][:, 0, 0, 0] * 255, batch["label"][:, 0], atol=1e-4
        )


@pytest.mark.parametrize("augment", [AugmentSpec(crop="shift"), AugmentSpec(crop="inception")])
@pytest.mark.parametrize("make", [numbered_images, jpeg_images])
def test_starting_later_gives_the_same_batches(augment, make):
    whole = batches_of(make(10), augment=augment)
    rest = batches_of(make(10), augment=augment, first_step=4)
    assert len(rest) == 2
    for ours, theirs in zip(rest, whole[4:]):
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key])


def test_another_seed_gives_other_batches():
    ours, theirs = (batches_of(numbered_images(12), seed=seed) for seed in (1, 2))
    assert any(not np.array_equal(a["label"], b["label"]) for a, b in zip(ours, theirs))


def test_images_without_label_are_left_out():
    labels = np.array([[0], [-1], [1], [-1]], np.int32)
    batches = train_batches(
        numbered_images(4),
        labels,
        batch_size=2,
        num_steps=4,
        image_size_px=8,
        augment=PLAIN,
        seed=0,
    )
    seen = {float(v) for b in batches.as_numpy_iterator() for v in b["image"][:, 0, 0, 0] * 255}
    assert seen == {0.0, 2.0}


def test_no_label_at_all_is_an_error():
    with pytest.raises(LabelSpaceError, match="covers no image"):
        train_batches(
            numbered_images(2), np.full((2, 1), -1, np.int32), batch_size=1, num_steps=1,
            image_size_px=8, augment=PLAIN, seed=0,
        )  # fmt: skip


def test_evaluation_shows_every_image_once_and_marks_padding():
    labels = np.arange(10, dtype=np.int32)[:, None]
    batches = list(eval_batches(numbered_images(10), labels, batch_size=4, image_size_px=8))
    weights = np.concatenate([batch["weight"] for batch in batches])
    shown = np.concatenate([batch["label"][:, 0] for batch in batches])
    assert weights.tolist() == [1.0] * 10 + [0.0] * 2
    assert shown[:10].tolist() == list(range(10))


def test_flip_mirrors_about_half_of_the_images():
    ramp = np.tile(np.arange(8, dtype=np.uint8)[None, None, :, None], (64, 8, 1, 3))
    examples = Examples(tf.constant(ramp), tuple(map(str, range(64))), np.arange(64))
    batch = batches_of(
        examples, batch_size=64, num_steps=1, augment=AugmentSpec(crop="none", flip=True)
    )[0]
    mirrored = batch["image"][:, 0, 0, 0] > batch["image"][:, 0, -1, 0]
    assert 16 < mirrored.sum() < 48


def test_no_tuning_thread_is_left_to_wait_for():
    """One that sleeps when the last batch is taken holds up what comes next, by seconds."""
    examples, labels = numbered_images(8), np.zeros((8, 1), np.int32)
    settings = {"batch_size": 4, "image_size_px": 8}
    train = train_batches(examples, labels, **settings, num_steps=2, augment=PLAIN, seed=0)
    for batches in (train, eval_batches(examples, labels, **settings)):
        assert batches.options().autotune.enabled is False
        # Nothing is wrapped around that has a thread of its own.
        assert distribute(make_strategy("one_device"), lambda shard, b=batches: b) is batches


def test_the_order_is_tensorflows_shuffle_by_seed_and_epoch():
    rows, seed, epoch, last = tf.range(7, dtype=tf.int64), 3, tf.constant(2, tf.int64), 6
    expected = [
        int(tf.random.experimental.index_shuffle(row, tf.stack([seed, epoch]), last))
        for row in rows
    ]
    epochs, last = tf.fill([7], epoch), tf.constant(last, tf.int64)
    assert _shuffled(rows, seed, epochs, last).numpy().tolist() == expected
    assert int(_shuffled(rows[4], seed, epoch, last)) == expected[4]
