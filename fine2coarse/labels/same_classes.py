"""Whether two label spaces put the same images together, whatever they call the classes."""

from __future__ import annotations

from fine2coarse.labels.grouping import num_pairs
from fine2coarse.labels.space import LabelSpace

NOTE = "arm {arm} has the same classes as the target: it is the baseline trained in two phases"


def has_same_classes(space: LabelSpace, other: LabelSpace) -> bool:
    """Whether each class of one space is a class of the other one, under any name and number.

    Args:
      space: keyed by leaf or by image.
      other: of the same data; one that is keyed otherwise counts as different.
    """
    if space.fingerprint == other.fingerprint:
        return True
    keys = [(one.keyed_by, one.table.shape, one.dataset_fingerprint) for one in (space, other)]
    if keys[0] != keys[1] or space.is_multi_label or other.is_multi_label:
        return False
    if space.image_ids != other.image_ids:
        return False
    pairs, *labels = num_pairs(space.table[:, 0], other.table[:, 0])
    return labels == [pairs, pairs]
