"""Sub-samples of the training images: two controls that must not be confused.

Finer labels mean fewer images per class. *Fixed images per class* takes as many of every class,
so a finer space trains on more images in all. *Fixed total* takes the same images whatever the
space, so a finer space has fewer of each class. The space's source says which control it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fine2coarse.image_ids import ImageIds
from fine2coarse.labels.grouping import order_by, rows_where
from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.space import LabelSpace, LabelSpaceError
from fine2coarse.seeds import generator

IMAGES_PER_CLASS = "images_per_class"
TOTAL_IMAGES = "total_images"


def fixed_images_per_class(
    base: LabelSpace, images: ImageIndex, num_images_per_class: int, *, seed: int
) -> LabelSpace:
    """As `base`, with as many training images of each class; the others are left out.

    With the same seed, a larger number takes the same images and more. Images of other splits
    keep their labels.

    Raises:
      LabelSpaceError: where a class has fewer (the smallest are named), or `base` is multi-label.
    """
    labels = images.single_labels(base)
    sizes = np.bincount(labels[images.is_train & (labels >= 0)], minlength=base.num_classes)
    if num_images_per_class < 1:
        raise LabelSpaceError(f"num_images_per_class={num_images_per_class}; expected at least 1")
    if sizes.min() < num_images_per_class:
        small = [(base.class_names[c], int(sizes[c])) for c in np.argsort(sizes, kind="stable")[:5]]
        raise LabelSpaceError(
            f"{np.sum(sizes < num_images_per_class)} of {base.num_classes} classes of "
            f"{base.name!r} have fewer than {num_images_per_class} training images; the smallest: "
            f"{small}"
        )
    order = _shuffled_train(images, seed)
    order = order[order_by(labels[order])]
    order = order[labels[order] >= 0]
    kept = order[_places(labels[order], sizes) < num_images_per_class]
    return _keeping(base, images, labels, kept, IMAGES_PER_CLASS, num_images_per_class, seed)


def fixed_total_images(
    base: LabelSpace,
    images: ImageIndex,
    num_images_total: int,
    *,
    seed: int,
    within: LabelSpace | None = None,
) -> LabelSpace:
    """As `base`, with so many training images in all; the others are left out.

    Which images are taken depends on the seed and on `within`, not on `base`: arms of different
    granularity see the very same ones. Classes that none of them belongs to are left out, and
    counted in the source.

    Args:
      base: the space to sub-sample.
      images: to take from.
      num_images_total: how many training images to keep.
      seed: of the draw.
      within: a target whose classes are to keep their proportions; None to draw over everything.

    Raises:
      LabelSpaceError: where there are fewer images, or `base` leaves some of those taken out.
    """
    labels = images.single_labels(base)
    if not 1 <= num_images_total <= images.num_train:
        raise LabelSpaceError(
            f"num_images_total={num_images_total}; expected 1 to {images.num_train}, the number of "
            "training images"
        )
    order = _shuffled_train(images, seed)
    if within is not None:
        order = _spread(order, images.target_labels(within))
    kept = order[:num_images_total]
    if np.any(labels[kept] < 0):
        raise LabelSpaceError(
            f"{base.name!r} has no class for {np.sum(labels[kept] < 0)} of the {len(kept)} images "
            "drawn; a fixed total needs a space that covers every training image"
        )
    return _keeping(base, images, labels, kept, TOTAL_IMAGES, num_images_total, seed)


def _shuffled_train(images: ImageIndex, seed: int) -> np.ndarray:
    return generator(seed, "size_matched").permutation(rows_where(images.is_train))


def _spread(order: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Reorders so that every beginning holds each group in its proportion (to one image)."""
    by_group = order[order_by(groups[order])]
    group = groups[by_group]
    sizes = np.bincount(group)
    turns = _places(group, sizes) + 0.5
    turns /= sizes[group]
    del group
    return by_group[np.argsort(turns, kind="stable")]


def _places(groups: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The place of each row within its group, counted from 0: int32 [N], rows by group."""
    places = np.arange(len(groups), dtype=np.int32)
    places -= (np.cumsum(sizes) - sizes).astype(np.int32)[groups]
    return places


def _keeping(
    base: LabelSpace,
    images: ImageIndex,
    labels: np.ndarray,
    kept: np.ndarray,
    control: str,
    number: int,
    seed: int,
) -> LabelSpace:
    is_kept = ~images.is_train
    is_kept[kept] = True
    present = np.unique(labels[kept])
    new_class = np.full(base.num_classes + 1, -1, np.int32)  # the last one serves label -1
    new_class[present] = np.arange(len(present))
    suffix = "per-class" if control == IMAGES_PER_CLASS else "total"
    return images.make_space(
        np.where(is_kept, new_class[labels], np.int32(-1)),
        _chosen(base.class_ids, present),
        class_names=_chosen(base.class_names, present),
        name=f"{base.name}-{number}-{suffix}",
        source={
            "kind": "size_matched",
            "control": control,
            "num_images": number,
            "num_train_images": len(kept),
            "num_classes_left_out": base.num_classes - len(present),
            "base": base.name,
            "base_fingerprint": base.fingerprint,
            "seed": seed,
        },
    )


def _chosen(strings: Sequence[str], rows: np.ndarray) -> Sequence[str]:
    if isinstance(strings, ImageIds):
        return strings.subset(rows)
    return [strings[row] for row in rows]
