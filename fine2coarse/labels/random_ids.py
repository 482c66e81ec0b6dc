"""Random ids: any number of labels, with no meaning beyond the groups they stay within."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fine2coarse.labels.apportion import share_out
from fine2coarse.labels.grouping import by_group, num_pairs, rows_where
from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.space import LabelSpace, LabelSpaceError
from fine2coarse.seeds import generator


def random_within(
    target_classes: np.ndarray,
    image_ids: Sequence[str],
    *,
    num_classes: int,
    seed: int,
    dataset_fingerprint: str,
) -> LabelSpace:
    """Random ids drawn within each target class, all of these images being trained on.

    Args:
      target_classes: int [N], the target class of each image.
      image_ids: N ids.
      num_classes: total number of random classes; see `random_ids`.
      seed: of the draw.
      dataset_fingerprint: of the prepared images.

    Raises:
      LabelSpaceError: where there are fewer ids than target classes or more than images.
    """
    groups = np.unique(np.asarray(target_classes), return_inverse=True)[1]
    trained = np.ones(len(image_ids), bool)
    leaves = np.zeros(len(groups), np.int32)
    images = ImageIndex(image_ids, leaves, trained, dataset_fingerprint, "")
    return _balanced(images, groups, num_classes, seed, aligned=True)


def random_ids(
    images: ImageIndex, num_classes: int, *, within: LabelSpace | None = None, seed: int
) -> LabelSpace:
    """Balanced random ids: within each target class (aligned), or over everything (unaligned).

    Each target class gets a share of the ids in proportion to its training images, at least one;
    its images are dealt to them evenly, in random order. Images of other splits are dealt to the
    same ids of their own target class.

    Args:
      images: to label.
      num_classes: total number of ids.
      within: the target whose classes no id may straddle; None for unaligned ids.
      seed: of the draw.

    Raises:
      LabelSpaceError: where there are fewer ids than target classes, or more than a class has
        training images; or where a target class is empty.
    """
    groups = np.zeros(len(images), np.int32) if within is None else images.target_labels(within)
    return _balanced(images, groups, num_classes, seed, aligned=within is not None)


def random_like(
    images: ImageIndex, like: LabelSpace, *, within: LabelSpace | None = None, seed: int
) -> LabelSpace:
    """Random ids with the class sizes of `like`: its labels, dealt to images in random order.

    Training images and the others are shuffled apart, so both keep their sizes; with `within`
    each target class keeps its own.

    Raises:
      LabelSpaceError: where `like` is multi-label, or a class of it straddles target classes
        although `within` asks that none does.
    """
    labels = images.single_labels(like)
    groups = np.zeros(len(images), np.int32)
    if within is not None:
        groups = images.target_labels(within)
        _check_nested(labels, groups, like, within)
    random = generator(seed, "random_like")
    dealt = np.full(len(images), -1, np.int32)
    for members in _members(images, groups):
        dealt[members] = labels[random.permutation(members)]
    return images.make_space(
        dealt,
        [f"random{index}" for index in range(like.num_classes)],
        name=f"random-{'unaligned' if within is None else 'aligned'}-like-{like.name}",
        source={
            "kind": "random",
            "aligned": within is not None,
            "like": like.name,
            "like_fingerprint": like.fingerprint,
            "seed": seed,
        },
    )


def _balanced(
    images: ImageIndex, groups: np.ndarray, num_classes: int, seed: int, *, aligned: bool
) -> LabelSpace:
    sizes = np.bincount(groups[images.is_train])
    if not len(sizes) <= num_classes <= images.num_train:
        raise LabelSpaceError(
            f"num_classes={num_classes}; expected {len(sizes)} (target classes) to "
            f"{images.num_train} (images)"
        )
    shares = share_out(sizes, num_classes)
    starts = np.cumsum(shares) - shares
    random = np.random.default_rng(seed)
    labels = np.full(len(images), -1, np.int32)
    for members in _members(images, groups):
        group = groups[members[0]]
        if group >= 0:
            dealt = np.arange(len(members)) % shares[group]
            labels[random.permutation(members)] = starts[group] + dealt
    return images.make_space(
        labels,
        [f"random{index}" for index in range(num_classes)],
        name=f"random-{'aligned' if aligned else 'unaligned'}-{num_classes}",
        source={"kind": "random", "aligned": aligned, "num_classes": num_classes, "seed": seed},
    )


def _members(images: ImageIndex, groups: np.ndarray) -> Iterator[np.ndarray]:
    """Positions of each group's images, ascending: first those of training, then the others."""
    for is_member in (images.is_train, ~images.is_train):
        rows = rows_where(is_member)
        for _, places in by_group(groups[rows]):
            yield rows[places]


def _check_nested(
    labels: np.ndarray, groups: np.ndarray, like: LabelSpace, within: LabelSpace
) -> None:
    covered = labels >= 0
    pairs, classes, _ = num_pairs(labels[covered], groups[covered])
    straddling = pairs - classes
    if straddling:
        raise LabelSpaceError(
            f"classes of {like.name!r} straddle classes of target {within.name!r}, so ids aligned "
            "with the target cannot keep their sizes; draw them unaligned, or follow another space"
        )
