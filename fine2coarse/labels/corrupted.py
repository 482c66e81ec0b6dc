"""Label noise: a share of the training labels moved to another class."""

from __future__ import annotations

import numpy as np

from fine2coarse.labels.grouping import by_group, rows_where
from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.space import LabelSpace, LabelSpaceError
from fine2coarse.seeds import generator


def corrupted(
    base: LabelSpace,
    images: ImageIndex,
    share: float,
    *,
    seed: int,
    within: LabelSpace | None = None,
) -> LabelSpace:
    """As `base`, with a share of the training labels moved to another class, drawn evenly.

    With the same seed, a larger share moves the same images and more. Images of other splits
    keep their true labels. The source says how many labels were moved.

    Args:
      base: a single-label space.
      images: to label.
      share: of the covered training images, in [0, 1], that are drawn to be moved.
      seed: of the draw.
      within: the target within whose classes labels are moved; None to move them anywhere. An
        image whose target class has one class of `base` only cannot be moved, and is not.

    Raises:
      LabelSpaceError: where the share is outside [0, 1], `base` straddles `within`, or no label
        could be moved.
    """
    if not 0 <= share <= 1:
        raise LabelSpaceError(f"share={share}; expected a fraction in [0, 1]")
    labels = images.single_labels(base)
    covered = rows_where(images.is_train & (labels >= 0))
    groups = _groups_of_classes(base, images, labels, covered, within)
    # Noise upon noise must not move the same labels again.
    is_noisy = base.source.get("kind") == "corrupted"
    random = generator(seed, f"corrupted {base.fingerprint}" if is_noisy else "corrupted")
    drawn = random.permutation(covered)[: round(share * len(covered))]
    luck = random.random(len(covered))[: len(drawn)]
    moved, num_moved = _move(labels, drawn, luck, groups)
    if len(drawn) and not num_moved:
        raise LabelSpaceError(
            f"no label of {base.name!r} can be moved: every target class holds one class only; "
            "move labels anywhere (no `within`), or corrupt a finer space"
        )
    return images.make_space(
        moved,
        base.class_ids,
        class_names=base.class_names,
        name=f"{base.name}-corrupted-{share:g}{'' if within is None else '-within'}",
        source={
            "kind": "corrupted",
            "share": share,
            "within": None if within is None else within.name,
            "num_moved": num_moved,
            "num_not_movable": len(drawn) - num_moved,
            "base": base.name,
            "base_fingerprint": base.fingerprint,
            "seed": seed,
        },
    )


def _groups_of_classes(
    base: LabelSpace,
    images: ImageIndex,
    labels: np.ndarray,
    covered: np.ndarray,
    within: LabelSpace | None,
) -> np.ndarray:
    """The target class of each class of `base`; -1 for a class without training images."""
    groups = np.full(base.num_classes, -1, np.int64)
    if within is None:
        groups[np.unique(labels[covered])] = 0
        return groups
    targets = images.target_labels(within)[covered]
    groups[labels[covered]] = targets
    if np.any(groups[labels[covered]] != targets):
        raise LabelSpaceError(
            f"classes of {base.name!r} straddle classes of target {within.name!r}; labels cannot "
            "be moved within the target's classes"
        )
    return groups


def _move(
    labels: np.ndarray, drawn: np.ndarray, luck: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, int]:
    """Gives each drawn image one of the other classes of its group, chosen by `luck` in [0, 1)."""
    moved, num_moved = labels.copy(), 0
    classes_of = dict(by_group(groups))
    for group, inside in by_group(groups[labels[drawn]]):
        classes = classes_of[group]
        if len(classes) < 2:
            continue
        own = np.searchsorted(classes, labels[drawn[inside]])
        step = 1 + np.floor(luck[inside] * (len(classes) - 1)).astype(np.int64)
        moved[drawn[inside]] = classes[(own + step) % len(classes)]
        num_moved += len(inside)
    return moved, num_moved
