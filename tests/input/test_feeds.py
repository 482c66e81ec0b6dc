"""Feeds without TensorFlow: the same images in the same order, wherever they are cut."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from keras import ops
from PIL import Image

from fine2coarse import keras_settings
from fine2coarse.errors import UsageError
from fine2coarse.input.array_images import ArrayImages
from fine2coarse.input.epoch_order import EpochOrder
from fine2coarse.input.examples import Examples
from fine2coarse.input.feeds import Feed, Preparation, eval_feed, train_feed
from fine2coarse.input.shard import WHOLE, Shard
from fine2coarse.labels import LabelSpaceError
from fine2coarse.recipes.phase_spec import AugmentSpec
from tests.input.compiled import compiled

pytestmark = pytest.mark.both_backends

NUM = 10
PIXELS = np.random.default_rng(0).integers(0, 256, (NUM, 12, 12, 3), np.uint8)
LABELS = np.arange(NUM, dtype=np.int32)[:, None]
IDS = tuple(map(str, range(NUM)))
AUGMENT = AugmentSpec(crop="shift", shift_px=2)
PLAIN = AugmentSpec(crop="none", flip=False)


@pytest.fixture(autouse=True)
def without_tensorflow(monkeypatch):
    monkeypatch.setattr(keras_settings, "has_tensorflow", lambda: False)


class Packed:
    """Images of several sizes, as a pack holds them: image i is 14 + i pixels wide."""

    dtype = np.dtype(np.bytes_)

    def __init__(self, encoded: bool = True) -> None:
        self.is_encoded = encoded
        self.pixels = [
            np.random.default_rng(i).integers(0, 256, (12, 14 + i, 3), np.uint8) for i in range(NUM)
        ]

    def __len__(self) -> int:
        return NUM

    def encoded(self, row: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(self.pixels[row]).save(buffer, "PNG")
        return buffer.getvalue()

    def decoded(self, row: int) -> np.ndarray:
        return self.pixels[row]


def examples(kind: str = "array") -> Examples:
    images = {
        "array": PIXELS,
        "device": PIXELS,
        "features": PIXELS[:, 0, :, 0].astype(np.float32),
        "encoded": Packed(),
        "pixels": Packed(encoded=False),
    }[kind]
    return Examples(images, IDS, np.arange(NUM), on_device=kind == "device")


def train(of: Examples, **changes) -> Feed:
    settings = {"batch_size": 4, "num_steps": 6, "image_size_px": 12, "augment": AUGMENT, "seed": 1}
    return train_feed(of, LABELS, **{**settings, "mixup": 0.4, **changes})


def shown(feed: Feed) -> list[dict[str, np.ndarray]]:
    """The batches that a model is given."""
    batches = feed.batches(WHOLE)
    if feed.prepare is None:
        return [{name: np.asarray(values) for name, values in batch.items()} for batch in batches]

    def gather(rows):
        return ops.take(ops.convert_to_tensor(feed.resident), rows, axis=0)

    prepare = compiled(lambda batch: feed.prepare(batch, gather))
    return [prepare(dict(batch)) for batch in batches]


def assert_same(ours: list, theirs: list) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs):
        assert set(mine) == set(other)
        for name in mine:
            np.testing.assert_allclose(mine[name], other[name], atol=1e-6, err_msg=name)


KINDS = ["array", "device", "features", "encoded", "pixels"]


@pytest.mark.parametrize("crop", ["shift", "inception"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_restart_and_several_hosts_see_the_same(kind, crop):
    augment = AugmentSpec(crop=crop, shift_px=2)
    whole = list(train(examples(kind), augment=augment).batches(WHOLE))
    rest = train(examples(kind), augment=augment, first_step=4)
    assert_same(list(rest.batches(WHOLE)), whole[4:])
    first, second = (
        list(train(examples(kind), augment=augment).batches(Shard(index, 2, pieces)))
        for index, pieces in ((0, 2), (1, 1))
    )
    for step, batch in enumerate(whole):
        pieces = [*first[2 * step : 2 * step + 2], second[step]]
        joined = {name: np.concatenate([piece[name] for piece in pieces]) for name in batch}
        assert_same([joined], [batch])


def test_the_devices_memory_shows_what_the_host_shows():
    assert_same(*(shown(train(examples(kind))) for kind in ("device", "array")))
    kept = np.arange(NUM) % 3 > 0
    parts = [
        train_feed(
            examples(kind).subset(kept), LABELS[kept],
            batch_size=4, num_steps=3, image_size_px=12, augment=AUGMENT, seed=0,
        )
        for kind in ("array", "device")
    ]  # fmt: skip
    assert parts[1].resident is PIXELS  # one copy on the devices serves every part of a split
    assert parts[0].resident is None
    assert_same(*map(shown, parts))


def test_files_and_pixels_of_several_sizes_show_the_same():
    files, pixels = (train(examples(kind)).batches(WHOLE) for kind in ("encoded", "pixels"))
    assert_same(list(files), list(pixels))


def test_images_come_in_the_order_of_epochs_with_their_labels():
    batches = shown(train(examples(), augment=PLAIN, mixup=0.0))
    expected = EpochOrder(NUM, 1).places(np.arange(24))
    np.testing.assert_array_equal(
        np.concatenate([batch["label"][:, 0] for batch in batches]), expected
    )
    images = np.concatenate([batch["image"] for batch in batches])
    np.testing.assert_allclose(images, PIXELS[expected] / 255, atol=1e-6)
    assert set(batches[0]) == {"image", "label", "weight"}


def test_the_order_is_that_of_tensorflows_feed(monkeypatch):
    pytest.importorskip("tensorflow")
    plain, kinds = {"augment": PLAIN, "mixup": 0.0}, ("array", "features")
    ours = [shown(train(examples(kind), **plain)) for kind in kinds]
    monkeypatch.setattr(keras_settings, "has_tensorflow", lambda: True)
    for mine, kind in zip(ours, kinds):
        assert_same(shown(train(examples(kind), **plain)), mine)


def test_images_without_a_label_are_left_out():
    labels = np.where(LABELS % 3, LABELS, -1)
    feed = train_feed(
        examples(), labels, batch_size=4, num_steps=9, image_size_px=12, augment=AUGMENT, seed=0
    )
    seen = np.concatenate([batch["label"][:, 0] for batch in feed.batches(WHOLE)])
    assert set(seen.tolist()) == {1, 2, 4, 5, 7, 8}
    with pytest.raises(LabelSpaceError, match="covers no image"):
        train_feed(
            examples(), np.full_like(LABELS, -1),
            batch_size=4, num_steps=1, image_size_px=12, augment=AUGMENT, seed=0,
        )  # fmt: skip


@pytest.mark.parametrize("random_crop", [None, 0, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_shows_every_image_once_and_marks_padding(kind, random_crop):
    settings = {"batch_size": 4, "image_size_px": 8, "random_crop": random_crop}
    batches = list(eval_feed(examples(kind), LABELS, **settings).batches(WHOLE))
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    assert columns["weight"].tolist() == [1.0] * NUM + [0.0] * 2
    assert columns["label"][:NUM, 0].tolist() == list(range(NUM))
    assert_same(batches, list(eval_feed(examples(kind), LABELS, **settings).batches(WHOLE)))


def test_views_of_several_sizes_are_those_of_evaluation():
    pytest.importorskip("tensorflow")
    import tensorflow as tf

    from fine2coarse.input.augmentation import eval_image

    feed = eval_feed(examples("encoded"), LABELS, batch_size=NUM, image_size_px=7)
    (batch,) = shown(feed)
    for image, pixels in zip(batch["image"], Packed().pixels):
        np.testing.assert_allclose(image, eval_image(tf.constant(pixels), 7), atol=1.6 / 255)


def test_equal_preparations_are_compiled_once():
    first, second = (
        train_feed(
            examples(), LABELS, batch_size=2, num_steps=1, image_size_px=12, augment=AUGMENT,
            seed=seed,
        ).prepare
        for seed in (0, 1)
    )  # fmt: skip
    assert first == second == Preparation(12, AUGMENT) and hash(first) == hash(second)
    assert first != Preparation(12, None)


def test_little_is_sent_where_the_images_are_on_the_devices():
    feed = train_feed(
        examples("device"), LABELS, batch_size=4, num_steps=1, image_size_px=12, augment=AUGMENT,
        seed=0,
    )  # fmt: skip
    (batch,) = feed.batches(WHOLE)
    assert {name: (values.dtype.name, values.shape) for name, values in batch.items()} == {
        "row": ("int32", (4,)),
        "key": ("uint32", (4, 2)),
        "label": ("int32", (4, 1)),
        "weight": ("float32", (4,)),
    }


def test_a_damaged_file_is_told_to_the_consumer_and_threads_end():
    class Damaged(Packed):
        def encoded(self, row: int) -> bytes:
            return b"nothing" if row == 3 else super().encoded(row)

    of = Examples(Damaged(), IDS, np.arange(NUM))
    feed = eval_feed(of, LABELS, batch_size=2, image_size_px=8)
    iterator = iter(feed.batches(WHOLE))
    next(iterator)
    with pytest.raises(UsageError, match="expected the bytes of a JPEG"):
        next(iterator)
    iterator = iter(feed.batches(WHOLE))
    next(iterator)
    iterator.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("read_images")]


def test_no_more_than_a_few_batches_are_read_ahead():
    read = []

    class Noting(Packed):
        def decoded(self, row: int) -> np.ndarray:
            read.append(row)
            return super().decoded(row)

    of = Examples(Noting(encoded=False), IDS, np.arange(NUM))
    iterator = iter(eval_feed(of, LABELS, batch_size=1, image_size_px=8).batches(WHOLE))
    next(iterator)
    iterator.close()
    assert 1 <= len(read) <= 4


def test_what_tensorflow_alone_reads_is_named():
    class Records:
        dtype = np.dtype(object)

    with pytest.raises(UsageError, match="images of the kind Records are read by TensorFlow"):
        eval_feed(Examples(Records(), IDS, np.arange(NUM)), LABELS, batch_size=2, image_size_px=8)


def test_a_batch_that_does_not_divide_is_refused():
    feed = eval_feed(examples(), LABELS, batch_size=5, image_size_px=8)
    with pytest.raises(UsageError, match="does not divide among 2 hosts"):
        feed.batches(Shard(0, 2))


def test_images_of_several_sizes_are_not_kept_on_the_devices():
    with pytest.raises(UsageError, match="needs images of one size"):
        Examples(Packed(), IDS, np.arange(NUM), on_device=True)


def test_a_part_of_an_array_is_not_copied():
    part = examples().subset(np.arange(NUM) > 6).subset(np.array([True, False, True]))
    assert isinstance(part.images, ArrayImages) and part.images.array is PIXELS
    assert part.images.kept.tolist() == [7, 9] and part.images.shape == (2, 12, 12, 3)
    np.testing.assert_array_equal(part.images[1], PIXELS[9])
