"""Batches of a pack's images on TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest

from fine2coarse.input.augmentation import eval_image
from fine2coarse.input.batches import eval_batches, train_batches
from fine2coarse.input.examples import Examples
from fine2coarse.recipes.phase_spec import AugmentSpec
from fine2coarse.studies.open_study import open_study

_HOW = {"batch_size": 4, "image_size_px": 8}
_TRAINED = {**_HOW, "num_steps": 3, "augment": AugmentSpec(), "seed": 0}


def images(batches) -> np.ndarray:
    return np.concatenate([batch["image"] for batch in batches.as_numpy_iterator()])


def labels(examples: Examples) -> np.ndarray:
    return np.asarray(examples.leaf_labels, np.int32)[:, None]


def test_whole_images_are_cropped_as_others_are(photographs, tmp_path):
    dataset = photographs.pack(tmp_path / "pack", None, "shorter_side", 9).dataset("dataset")
    index = dataset.index("train")
    examples = Examples(dataset.images("train"), index.image_ids, index.labels)
    found = images(eval_batches(examples, labels(examples), **_HOW))
    for row, image in enumerate(found[:6]):
        assert np.array_equal(image, eval_image(examples.images.decoded(row), 8))
    last = examples.subset(np.arange(6) >= 4)
    assert np.array_equal(images(eval_batches(last, labels(last), **_HOW))[:2], found[4:6])
    first, again = (images(train_batches(examples, labels(examples), **_TRAINED)) for _ in "ab")
    assert first.shape == (12, 8, 8, 3) and np.array_equal(first, again)


@pytest.mark.slow
def test_encoded_files_give_the_batches_of_the_dataset(photographs, tmp_path):
    recipe = photographs.recipe()
    photographs.pack(tmp_path / "pack", recipe, "encoded")
    packed = open_study(recipe, "nowhere", packed=str(tmp_path / "pack")).train
    prepared = open_study(recipe, photographs.data_dir).train
    ours, theirs = (
        images(train_batches(found, labels(found), **_TRAINED)) for found in (packed, prepared)
    )
    assert np.array_equal(ours, theirs)
