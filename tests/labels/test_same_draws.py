"""Draws, fingerprints and class maps are those of the first version, digit for digit.

The expected values are what it gave before ids were arrays: label spaces in old study folders are
compared with new ones by these fingerprints.
"""

from __future__ import annotations

import numpy as np
import pytest

from fine2coarse.image_ids import ImageIds
from fine2coarse.labels.class_map import ClassMap
from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.sources import (
    corrupted,
    fixed_images_per_class,
    fixed_total_images,
    per_image,
    random_ids,
    random_like,
    random_within,
)
from fine2coarse.labels.space import LabelSpace

NUM_IMAGES = 3000
_random = np.random.default_rng(7)
LEAF = _random.integers(0, 40, NUM_IMAGES)
IS_TRAIN = _random.random(NUM_IMAGES) < 0.8
IDS = tuple(f"n{LEAF[row]:08d}_{row}" for row in range(NUM_IMAGES))
IMAGES = ImageIndex(IDS, LEAF, IS_TRAIN, "d" * 64, "t" * 64)


def by_leaf(name: str, letter: str, labels: np.ndarray) -> LabelSpace:
    ids = tuple(f"{letter}{number}" for number in range(labels.max() + 1))
    return LabelSpace(ids, ids, labels[:, None], name=name, dataset_fingerprint="t" * 64)


LEAVES = by_leaf("leaves", "l", np.arange(40))
COARSE = by_leaf("coarse", "c", np.arange(40) % 7)
PART = LabelSpace(
    ("a", "b"),
    ("a", "b"),
    np.where(np.arange(40) < 30, np.arange(40) % 2, -1)[:, None],
    name="part",
    dataset_fingerprint="t" * 64,
)
NOISY = corrupted(LEAVES, IMAGES, 0.3, seed=1, within=COARSE)
UNALIGNED = random_ids(IMAGES, 100, seed=3)
SAMPLE = fixed_total_images(LEAVES, IMAGES, 500, seed=1, within=COARSE)
ODD = LabelSpace(
    ("a",),
    ("Ä",),
    np.zeros((5, 1), int),
    "image",
    ('q"uote', "back\\slash", "Löwe 犬", "tab\t", ""),
    "odd",
    "z",
)
EXPECTED = {
    "aligned": (random_ids(IMAGES, 100, within=COARSE, seed=3), "748ac9dd850e5471"),
    "unaligned": (UNALIGNED, "245c0670ee41a0b3"),
    "like, aligned": (random_like(IMAGES, LEAVES, within=COARSE, seed=5), "48d521ab3b1a662d"),
    "like": (random_like(IMAGES, LEAVES, seed=5), "420584eb5c9894e6"),
    "like, not all covered": (random_like(IMAGES, PART, seed=9), "666d16cb109b6f72"),
    "within": (
        random_within(COARSE.table[LEAF, 0], IDS, num_classes=50, seed=2, dataset_fingerprint="x"),
        "cbdc5e9d0c1083ff",
    ),
    "per image": (
        per_image(np.asarray(IDS)[IS_TRAIN].tolist(), dataset_fingerprint="d" * 64),
        "da30bdae0e716399",
    ),
    "per class": (fixed_images_per_class(LEAVES, IMAGES, 20, seed=1), "ddbda58b9b8b42ea"),
    "total": (SAMPLE, "410367a62c5816d9"),
    "noise, aligned": (NOISY, "8e2861c76a6572ae"),
    "noise": (corrupted(LEAVES, IMAGES, 0.3, seed=1), "0308ce2ef6b4129e"),
    "noise twice": (corrupted(NOISY, IMAGES, 0.3, seed=1), "c454c6f70f4194f2"),
    "odd ids": (ODD, "9a40166e2578187a"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_space_is_the_one_it_was(name):
    space, fingerprint = EXPECTED[name]
    assert space.fingerprint[:16] == fingerprint


def test_class_maps_are_those_they_were():
    labels, targets = IMAGES.labels(UNALIGNED), IMAGES.single_labels(COARSE)
    straddling = ClassMap.from_labels(labels, targets, (100, 7))
    assert straddling.fingerprint[:16] == "d58d19ddef364346"
    labels, targets = IMAGES.labels(SAMPLE), IMAGES.single_labels(PART)
    partly = ClassMap.from_labels(labels, targets, (SAMPLE.num_classes, 2))
    assert partly.fingerprint[:16] == "3268e28f280cfb69"


def test_images_of_several_classes_count_in_each():
    labels = np.asarray([[0, 1], [1, -1], [1, 2], [-1, -1]])
    found = ClassMap.from_labels(labels, np.asarray([0, 1, -1, 0]), (3, 2))
    # Class 1 has three images: one of target 0, one of target 1, one of none.
    np.testing.assert_allclose(found.dense(), [[1, 0], [1 / 3, 1 / 3], [0, 0]], rtol=1e-6)


def test_labels_are_looked_up_by_id_whatever_holds_the_ids():
    space = EXPECTED["per image"][0]
    # The same images through another array, so that they are found by hash.
    copied = ImageIds.of(IDS)
    expected = np.where(IS_TRAIN, np.cumsum(IS_TRAIN) - 1, -1)
    for ids in (IDS, [key.encode() for key in IDS], IMAGES.image_ids, copied):
        assert space.lookup(LEAF, ids)[:, 0].tolist() == expected.tolist()
    own = space.lookup(LEAF, space.image_ids)
    assert own[:, 0].tolist() == list(range(IS_TRAIN.sum()))
    own[:] = -1  # a copy
    assert space.table.min() == 0
