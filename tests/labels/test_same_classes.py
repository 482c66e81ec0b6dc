"""Whether two label spaces put the same images together."""

from __future__ import annotations

import numpy as np

from fine2coarse.labels.same_classes import has_same_classes
from fine2coarse.labels.space import LabelSpace


def space(*labels: int, **more) -> LabelSpace:
    names = tuple(f"c{number}" for number in range(max(labels) + 1))
    return LabelSpace(names, names, np.asarray(labels)[:, None], **more)


def test_names_and_numbers_make_no_difference():
    assert has_same_classes(space(0, 0, 1, 2), space(0, 0, 1, 2))
    assert has_same_classes(space(0, 0, 1, 2), space(2, 2, 0, 1))


def test_finer_coarser_and_other_classes_differ():
    target = space(0, 0, 1, 1)
    assert not has_same_classes(space(0, 1, 2, 3), target)
    assert not has_same_classes(space(0, 0, 0, 0), target)
    assert not has_same_classes(space(0, 1, 0, 1), target)


def test_spaces_of_other_data_are_not_compared():
    assert not has_same_classes(
        space(0, 1, dataset_fingerprint="a"), space(1, 0, dataset_fingerprint="b")
    )
    by_image = space(0, 1, keyed_by="image", image_ids=("x", "y"))
    assert not has_same_classes(by_image, space(1, 0))
