"""Arrays, memory maps and packs go through TensorFlow's pipelines as tensors do."""

from __future__ import annotations

import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.input import Examples, eval_batches, examples, train_batches
from fine2coarse.input.array_images import ArrayImages
from fine2coarse.input.augmentation import eval_image
from fine2coarse.packs.images import PackedImages
from fine2coarse.recipes.phase_spec import AugmentSpec

PIXELS = np.random.default_rng(0).integers(0, 256, (70, 9, 9, 3), np.uint8)
LABELS = np.arange(70, dtype=np.int32)[:, None]
IDS = tuple(map(str, range(70)))


def batches(images, members: np.ndarray | None = None) -> list[dict[str, np.ndarray]]:
    of, labels = Examples(images, IDS, np.arange(70)), LABELS
    if members is not None:
        of, labels = of.subset(members), LABELS[members]
    trained = train_batches(
        of, labels, batch_size=5, num_steps=20, image_size_px=8,
        augment=AugmentSpec(crop="shift"), seed=1,
    )  # fmt: skip
    evaluated = eval_batches(of, labels, batch_size=4, image_size_px=8)
    return [*trained.as_numpy_iterator(), *evaluated.as_numpy_iterator()]


def assert_same(ours: list, theirs: list) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        for name in other:
            np.testing.assert_array_equal(mine[name], other[name])


@pytest.mark.parametrize("members", [None, np.arange(70) % 4 > 0], ids=["all", "a part"])
@pytest.mark.parametrize("fits", [True, False])
def test_a_memory_map_shows_what_a_tensor_shows(tmp_path, members, fits):
    np.save(tmp_path / "pixels.npy", PIXELS)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    expected = batches(tf.constant(PIXELS), members)
    with mock.patch.object(examples, "MAX_DECODED_BYTES", 1 << 30 if fits else 0):
        assert_same(batches(mapped, members), expected)


def test_an_array_is_converted_once_and_a_large_one_never():
    small = Examples(PIXELS, IDS, np.arange(70))
    assert small.images_for_tensorflow is small.images_for_tensorflow
    assert small.images_for_tensorflow.dtype == tf.uint8
    with mock.patch.object(examples, "MAX_DECODED_BYTES", PIXELS.nbytes - 1):
        large = Examples(PIXELS, IDS, np.arange(70)).images_for_tensorflow
    assert isinstance(large, ArrayImages) and large.array is PIXELS


@pytest.mark.parametrize("encoded", [False, True])
def test_a_pack_of_several_sizes_shows_its_images(encoded):
    pictures = [PIXELS[row, : 5 + row % 4] for row in range(70)]
    parts = [picture.ravel() for picture in pictures]
    shapes = np.array([picture.shape[:2] for picture in pictures], np.int32)
    if encoded:
        parts = [np.frombuffer(tf.io.encode_png(one).numpy(), np.uint8) for one in pictures]
        shapes = None
    offsets = np.r_[0, np.cumsum([len(part) for part in parts])]
    shown = batches(PackedImages(np.concatenate(parts), offsets, shapes))
    assert len(shown) == 20 + 18
    for batch in shown[20:]:
        for image, label in zip(batch["image"], batch["label"][:, 0], strict=True):
            np.testing.assert_array_equal(image, eval_image(tf.constant(pictures[label]), 8))


def test_what_needs_no_tensorflow_imports_none():
    modules = (
        "examples shard feeds array_batches array_images random_bits random_windows epoch_order "
        "mixup_shares stream_order prepared_images image_shares thumbnails pillow_decoding "
        "read_errors augment_ranges"
    )
    program = (
        "import importlib, sys; sys.modules['tensorflow'] = None\n"
        f"for name in {modules.split()}: importlib.import_module('fine2coarse.input.' + name)\n"
        "print('keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False"]


ENDING = """
import sys, numpy as np
from fine2coarse import keras_settings
from fine2coarse.input.examples import Examples
from fine2coarse.input.feeds import eval_feed
from fine2coarse.input.shard import WHOLE
keras_settings.has_tensorflow = lambda: False
images = np.zeros((4000, 64, 64, 3), np.uint8)
feed = eval_feed(
    Examples(images, tuple(map(str, range(4000))), np.zeros(4000, np.int64)),
    np.zeros((4000, 1), np.int32), batch_size=500, image_size_px=64,
)
iterator = iter(feed.batches(WHOLE))
next(iterator)
if sys.argv[1] == "exit":
    sys.exit(75)
raise ValueError("an error that nobody catches")
"""


@pytest.mark.slow  # a Python of its own, whose shutting down this is about
@pytest.mark.parametrize(("ending", "code"), [("exit", 75), ("error", 1)])
def test_a_program_ends_while_batches_are_read_ahead(ending, code):
    command = [sys.executable, "-c", ENDING, ending]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == code
