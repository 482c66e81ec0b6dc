"""Random ids, sub-samples and label noise: what they keep and what they change."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fine2coarse.labels.agreement import agreement, class_sizes
from fine2coarse.labels.sources import (
    corrupted,
    fixed_images_per_class,
    fixed_total_images,
    level,
    per_image,
    random_ids,
    random_like,
    random_within,
)
from fine2coarse.labels.space import LabelSpace, LabelSpaceError

# Training images: wolf, dog, jackal, fox, cat 10 each, sandcat 2; so canids 40 and felids 12.


@pytest.fixture
def family(pets) -> LabelSpace:
    return level(pets, "family")


@pytest.fixture
def species(pets) -> LabelSpace:
    return level(pets, "species")


def train_labels(space, images) -> np.ndarray:
    return images.single_labels(space)[images.is_train]


def test_aligned_ids_never_straddle_and_are_balanced(images, family):
    space = random_ids(images, 13, within=family, seed=1)
    found = agreement(space, family, images)
    assert (found.num_straddling, found.purity, found.num_classes) == (0, 1.0, 13)
    # 40 canids and 12 felids share 13 ids as 10 and 3: four images each.
    assert class_sizes(space, images).sizes.tolist() == [4] * 13


def test_unaligned_ids_straddle(images, family):
    space = random_ids(images, 13, within=None, seed=1)
    assert class_sizes(space, images).sizes.tolist() == [4] * 13
    assert agreement(space, family, images).num_straddling > 5


def test_validation_images_get_ids_of_their_own_target_class(images, family):
    space = random_ids(images, 13, within=family, seed=1)
    labels, targets = images.single_labels(space), images.single_labels(family)
    target_of_id = dict(zip(labels, targets))
    held_out = ~images.is_train
    assert (labels[held_out] >= 0).all()
    assert all(target_of_id[label] == target for label, target in zip(labels, targets))


@pytest.mark.parametrize("aligned", [True, False])
def test_random_ids_depend_on_the_seed_alone(images, family, aligned):
    within = family if aligned else None
    prints = [random_ids(images, 13, within=within, seed=s).fingerprint for s in (1, 1, 2)]
    assert prints[0] == prints[1] != prints[2]


def test_random_within_of_arrays_is_the_same_draw(images, family):
    trained = images.is_train
    ids = np.asarray(images.image_ids)[trained].tolist()
    targets = images.single_labels(family)[trained]
    space = random_within(targets, ids, num_classes=13, seed=1, dataset_fingerprint="x")
    np.testing.assert_array_equal(
        space.table[:, 0], train_labels(random_ids(images, 13, within=family, seed=1), images)
    )


@pytest.mark.parametrize("num_classes", [1, 53])
def test_too_few_or_too_many_random_ids(images, family, num_classes):
    with pytest.raises(LabelSpaceError, match=r"expected 2 \(target classes\) to 52 \(images\)"):
        random_ids(images, num_classes, within=family, seed=0)


def test_random_ids_with_the_sizes_of_another_space(images, family, species):
    sizes = class_sizes(species, images).sizes.tolist()
    for within in (family, None):
        space = random_like(images, species, within=within, seed=3)
        assert class_sizes(space, images).sizes.tolist() == sizes == [10, 10, 10, 10, 10, 2]
        assert agreement(space, species, images).purity < 0.7
        straddling = agreement(space, family, images).num_straddling
        assert (straddling == 0) == (within is not None)


def test_ids_like_a_space_that_straddles_cannot_be_aligned(images, family):
    straddling = random_ids(images, 5, within=None, seed=0)
    with pytest.raises(LabelSpaceError, match="straddle classes of target 'family'"):
        random_like(images, straddling, within=family, seed=0)


def test_an_empty_superclass_is_named(images, pets, family):
    without_felids = dataclasses.replace(
        images, is_train=images.is_train & (images.leaf_labels < 4)
    )
    with pytest.raises(LabelSpaceError, match=r"1 of 2 classes of target 'family' .*felids"):
        random_ids(without_felids, 4, within=family, seed=0)


def test_a_space_of_another_taxonomy_is_refused(images, zoo):
    with pytest.raises(LabelSpaceError, match="make the label space again"):
        random_ids(images, 4, within=level(zoo, "2", "first"), seed=0)


def test_per_image_gives_every_training_image_a_class_of_its_own(images):
    ids = np.asarray(images.image_ids)[images.is_train].tolist()
    space = per_image(ids, dataset_fingerprint=images.dataset_fingerprint)
    labels = images.single_labels(space)
    assert labels[images.is_train].tolist() == list(range(52))
    assert (labels[~images.is_train] == -1).all()


def test_fixed_images_per_class(images, family):
    space = fixed_images_per_class(family, images, 12, seed=0)
    assert class_sizes(space, images).sizes.tolist() == [12, 12]
    assert class_sizes(space, images).num_uncovered == 52 - 24
    assert (space.source["control"], space.source["num_train_images"]) == ("images_per_class", 24)
    assert (images.single_labels(space)[~images.is_train] >= 0).all()


def test_a_larger_sub_sample_holds_the_smaller_one(images, family):
    few, many = (fixed_images_per_class(family, images, n, seed=0) for n in (5, 9))
    kept_few, kept_many = train_labels(few, images) >= 0, train_labels(many, images) >= 0
    assert kept_many[kept_few].all() and kept_many.sum() == 18


def test_classes_too_small_for_the_sub_sample_are_named(images, species):
    with pytest.raises(LabelSpaceError, match=r"1 of 6 classes .*fewer than 3.*'sandcat', 2"):
        fixed_images_per_class(species, images, 3, seed=0)


def test_fixed_total_takes_the_same_images_whatever_the_space(images, family, species):
    spaces = [
        fixed_total_images(base, images, 26, seed=4, within=family) for base in (family, species)
    ]
    kept = [train_labels(space, images) >= 0 for space in spaces]
    np.testing.assert_array_equal(kept[0], kept[1])
    # 40 to 12 is 20 to 6.
    assert class_sizes(spaces[0], images).sizes.tolist() == [20, 6]
    assert spaces[1].source["control"] == "total_images"


def test_fixed_total_leaves_out_classes_that_lost_all_images(images, species):
    space = fixed_total_images(species, images, 3, seed=0)
    assert space.num_classes <= 3
    assert space.num_classes + space.source["num_classes_left_out"] == 6
    assert set(space.class_ids) <= set(species.class_ids)
    with pytest.raises(LabelSpaceError, match="expected 1 to 52"):
        fixed_total_images(species, images, 53, seed=0)


def test_noise_moves_the_share_asked_for(images, species):
    space = corrupted(species, images, 0.25, seed=0)
    before, after = train_labels(species, images), train_labels(space, images)
    assert np.sum(before != after) == 13 == space.source["num_moved"]
    held_out = ~images.is_train
    np.testing.assert_array_equal(
        images.single_labels(space)[held_out], images.single_labels(species)[held_out]
    )


def test_noise_within_the_superclass_stays_there(images, species, family):
    space = corrupted(species, images, 1.0, seed=0, within=family)
    before, after = train_labels(species, images), train_labels(space, images)
    assert np.all(before != after)
    np.testing.assert_array_equal(before < 4, after < 4)
    anywhere = train_labels(corrupted(species, images, 1.0, seed=0), images)
    assert np.any((before < 4) != (anywhere < 4))


def test_more_noise_moves_the_same_labels_and_more(images, species):
    before = train_labels(species, images)
    few, many = (train_labels(corrupted(species, images, q, seed=0), images) for q in (0.2, 0.6))
    moved = before != few
    np.testing.assert_array_equal(few[moved], many[moved])
    assert np.sum(before != many) > moved.sum()


def test_noise_reaches_every_other_class_evenly(pets, images):
    base = level(pets, "species")
    counts = np.zeros((6, 6))
    for seed in range(300):
        after = train_labels(corrupted(base, images, 1.0, seed=seed), images)
        np.add.at(counts, (train_labels(base, images), after), 1)
    assert (np.diag(counts) == 0).all()
    expected = counts.sum(1, keepdims=True) / 5
    off_diagonal = counts[~np.eye(6, dtype=bool)].reshape(6, 5)
    assert np.all(np.abs(off_diagonal - expected) < 6 * np.sqrt(expected))


def test_noise_that_cannot_be(images, species, family):
    with pytest.raises(LabelSpaceError, match=r"share=1\.5"):
        corrupted(species, images, 1.5, seed=0)
    with pytest.raises(LabelSpaceError, match="no label of 'family' can be moved"):
        corrupted(family, images, 0.5, seed=0, within=family)
    with pytest.raises(LabelSpaceError, match="straddle"):
        corrupted(random_ids(images, 5, seed=0), images, 0.5, seed=0, within=family)
    untouched = corrupted(species, images, 0.0, seed=0)
    np.testing.assert_array_equal(images.single_labels(untouched), images.single_labels(species))


# Label sources that build on each other draw from streams of their own. Had they one stream, the
# sample of random ids would be cut evenly through them, and random ids like random ids would be
# dealt in stored order.


def sizes_in_sample(images, seed: int) -> np.ndarray:
    ids = random_ids(images, 4, seed=seed)
    sample = fixed_total_images(ids, images, 26, seed=seed)
    return np.bincount(train_labels(sample, images)[train_labels(sample, images) >= 0])


def test_a_sample_of_random_ids_is_a_random_one(images):
    spreads = [np.ptp(sizes_in_sample(images, seed)) for seed in range(10)]
    assert max(spreads) > 1, "26 of 52 images in 4 ids: 7, 7, 6 and 6 in every sample"


def test_noise_in_a_sample_does_not_begin_with_its_images(images, species):
    half = fixed_total_images(species, images, 26, seed=3)
    noisy = corrupted(species, images, 0.5, seed=3)
    in_sample = train_labels(half, images) >= 0
    moved = train_labels(noisy, images) != train_labels(species, images)
    assert 0 < (moved & in_sample).sum() < min(moved.sum(), in_sample.sum())


def test_random_ids_like_random_ids_are_dealt_anew(images):
    first = random_ids(images, 4, seed=0)
    dealt = train_labels(random_like(images, first, seed=0), images)
    assert sorted(dealt) == sorted(train_labels(first, images))
    assert not np.array_equal(dealt, np.arange(52) % 4)


def test_noise_upon_noise_moves_other_labels(images, species):
    once = corrupted(species, images, 0.2, seed=0)
    twice = corrupted(once, images, 0.2, seed=0)
    first = train_labels(once, images) != train_labels(species, images)
    second = train_labels(twice, images) != train_labels(once, images)
    assert not np.array_equal(first, second)
