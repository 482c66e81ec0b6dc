"""The matrix from the classes of a label space to a target's."""

from __future__ import annotations

import numpy as np
import pytest

from fine2coarse.labels.class_map import ClassMap, targets_of_leaves
from fine2coarse.labels.space import LabelSpaceError
from fine2coarse.taxonomy.taxonomy import Taxonomy


def test_shares_are_counted_over_images_of_several_classes():
    # Images of classes {0}, {0, 1}, {1}, {2}; targets 0, 0, 1, 1. Class 3 has none.
    labels = np.array([[0, -1], [0, 1], [1, -1], [2, -1]])
    found = ClassMap.from_labels(labels, np.array([0, 0, 1, 1]), (4, 2))
    assert found.dense().tolist() == [[1, 0], [0.5, 0.5], [0, 1], [0, 0]]
    assert found.largest.tolist() == [0, 0, 1, -1]  # of equal shares the first target
    assert not found.is_nested and found.tells_apart(np.array([0, 1]))


def test_images_without_a_target_are_missing_from_their_class():
    found = ClassMap.from_labels(np.array([[0], [0], [1]]), np.array([0, -1, -1]), (2, 1))
    assert found.dense().tolist() == [[0.5], [0]]


def test_classes_within_targets_are_nested():
    labels = np.arange(4)[:, None]
    found = ClassMap.from_labels(labels, np.array([0, 0, 1, 1]), (4, 2))
    assert found.is_nested and found.dense().tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]


def test_coarser_classes_do_not_tell_targets_apart():
    # One class holds two images of target 0 and one of target 1.
    found = ClassMap.from_labels(np.zeros((3, 1), int), np.array([0, 0, 1]), (1, 2))
    assert found.largest.tolist() == [0] and not found.tells_apart(np.array([0, 0, 1]))
    # A target without training images is predicted by nobody, and does not count.
    assert found.tells_apart(np.array([0, 0]))


def test_maps_follow_each_other():
    first = ClassMap.from_labels(np.array([[0], [0], [1]]), np.array([0, 1, 1]), (2, 2))
    second = ClassMap.from_labels(np.array([[0], [1]]), np.array([1, 0]), (2, 2))
    assert np.allclose(first.then(second).dense(), first.dense() @ second.dense())
    with pytest.raises(LabelSpaceError, match="cannot be followed"):
        first.then(ClassMap.from_labels(np.array([[0]]), np.array([0]), (3, 1)))


def test_a_class_for_each_of_a_million_images_is_cheap():
    count = 1_000_000
    found = ClassMap.from_labels(np.arange(count)[:, None], np.arange(count) % 7, (count, 7))
    assert len(found.classes) == count and found.is_nested


def test_saved_and_read_back(tmp_path):
    found = ClassMap.from_labels(np.array([[0], [0], [1]]), np.array([0, 1, 1]), (2, 2))
    found.save(tmp_path / "map.npz")
    assert ClassMap.load(tmp_path / "map.npz").fingerprint == found.fingerprint
    (tmp_path / "map.npz").write_bytes(b"PK damaged")
    with pytest.raises(LabelSpaceError, match="not a class map"):
        ClassMap.load(tmp_path / "map.npz")


@pytest.mark.parametrize(
    ("classes", "targets", "shares"),
    [([1, 0], [0, 0], [1, 1]), ([0, 0], [1, 1], [0.5, 0.5]), ([0], [2], [1]), ([0], [0], [1.5])],
)
def test_malformed_maps_are_refused(classes, targets, shares):
    with pytest.raises(LabelSpaceError, match="sorted, distinct and within"):
        ClassMap(2, 2, np.array(classes), np.array(targets), np.array(shares))


def test_leaves_of_one_dataset_get_targets_that_are_nodes_above_them():
    # animal > dog > poodle, animal > cat; images are labelled dog, poodle, cat and rock.
    taxonomy = Taxonomy.from_parents(
        {"dog": ["animal"], "poodle": ["dog"], "cat": ["animal"], "rock": []},
        ["dog", "poodle", "cat", "rock"],
    )
    assert targets_of_leaves(taxonomy, ("dog", "cat")).tolist() == [0, 0, 1, -1]
    # The nearest counts where one target stands above another.
    assert targets_of_leaves(taxonomy, ("animal", "poodle")).tolist() == [0, 1, 0, -1]
    assert targets_of_leaves(taxonomy, ("dog", "plane")) is None
