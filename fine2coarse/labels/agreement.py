"""How large the classes of a label space are, and how far it agrees with another one."""

from __future__ import annotations

import dataclasses

import numpy as np

from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.space import LabelSpace, LabelSpaceError


@dataclasses.dataclass(frozen=True, eq=False)
class Sizes:
    """Class sizes of a label space over the training images.

    Attributes:
      sizes: float64 [C], images of each class; an image of m classes counts 1/m in each.
      num_images: training images with a class.
      num_uncovered: training images without one.
    """

    sizes: np.ndarray
    num_images: int
    num_uncovered: int

    @property
    def entropy_bits(self) -> float:
        """Shannon entropy of the class of a training image, in bits."""
        shares = self.sizes[self.sizes > 0] / self.sizes.sum()
        return float(-np.sum(shares * np.log2(shares)) + 0.0)

    @property
    def num_effective_classes(self) -> float:
        """2 to the entropy: as many classes of equal size have the same entropy."""
        return 2.0**self.entropy_bits


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How two label spaces relate, over the training images that both cover.

    Attributes:
      purity: share of images that belong to the largest class of the other space within their
        own class (Manning et al., Introduction to Information Retrieval, section 16.3).
      nmi: mutual information over the arithmetic mean of the two entropies, in [0, 1], as
        scikit-learn's `normalized_mutual_info_score`.
      num_straddling: classes with images in more than one class of the other space.
      num_classes: classes with at least one of these images.
      num_images: images that both cover.
    """

    purity: float
    nmi: float
    num_straddling: int
    num_classes: int
    num_images: int


def class_sizes(space: LabelSpace, images: ImageIndex) -> Sizes:
    """Sizes of a space's classes over the training images."""
    labels = images.labels(space)[images.is_train]
    rows, columns = np.nonzero(labels >= 0)
    num_labels = np.sum(labels >= 0, axis=1)
    sizes = np.bincount(
        labels[rows, columns], weights=1.0 / num_labels[rows], minlength=space.num_classes
    )
    num_images = int(np.sum(num_labels > 0))
    return Sizes(sizes, num_images, len(labels) - num_images)


def agreement(space: LabelSpace, other: LabelSpace, images: ImageIndex) -> Agreement:
    """Compares a space with another (a target, say) over the training images.

    An image of several classes is spread evenly over its pairs of classes; with single labels
    the numbers are scikit-learn's.

    Raises:
      LabelSpaceError: where no training image is covered by both.
    """
    left, right = images.labels(space)[images.is_train], images.labels(other)[images.is_train]
    classes, others, counts, num_images = _contingency(left, right)
    if not num_images:
        raise LabelSpaceError(f"no training image has a class in {space.name} and {other.name}")
    by_class = np.bincount(classes, weights=counts)
    by_other = np.bincount(others, weights=counts)
    largest = np.zeros(len(by_class))
    np.maximum.at(largest, classes, counts)
    return Agreement(
        purity=float(largest.sum() / num_images),
        nmi=_normalized_mutual_information(counts, by_class[classes], by_other[others]),
        num_straddling=int(np.sum(np.bincount(classes) > 1)),
        num_classes=int(np.sum(by_class > 0)),
        num_images=num_images,
    )


def _contingency(
    left: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The nonzero cells of the table of pairs: classes, other classes, (weighted) images."""
    if left.shape[1] == right.shape[1] == 1:
        left, right = left[:, 0], right[:, 0]
        both = (left >= 0) & (right >= 0)
        base = max(1, int(right.max(initial=0)) + 1)
        keys = left[both].astype(np.int64) * base + right[both]
        cells, counts = np.unique(keys, return_counts=True)
        return cells // base, cells % base, counts.astype(np.float64), len(keys)
    num_left, num_right = np.sum(left >= 0, axis=1), np.sum(right >= 0, axis=1)
    both = (num_left > 0) & (num_right > 0)
    width = right.shape[1]
    pairs_left = np.repeat(left[both], width, axis=1).ravel()
    pairs_right = np.tile(right[both], (1, left.shape[1])).ravel()
    weights = np.repeat(1.0 / (num_left * num_right)[both], width * left.shape[1])
    valid = (pairs_left >= 0) & (pairs_right >= 0)
    base = max(1, int(pairs_right.max(initial=0)) + 1)
    keys = pairs_left[valid].astype(np.int64) * base + pairs_right[valid]
    cells, place = np.unique(keys, return_inverse=True)
    counts = np.bincount(place, weights=weights[valid])
    return cells // base, cells % base, counts, int(both.sum())


def _normalized_mutual_information(
    counts: np.ndarray, class_totals: np.ndarray, other_totals: np.ndarray
) -> float:
    """From each nonzero cell's count and the totals of its row and its column."""
    total = counts.sum()
    mutual = np.sum(counts / total * np.log(counts * total / (class_totals * other_totals)))
    # Summed over cells, counts·log(total of the row) is the rows' sum: entropies follow.
    entropy = -np.sum(counts / total * np.log(class_totals / total))
    other_entropy = -np.sum(counts / total * np.log(other_totals / total))
    mean = (entropy + other_entropy) / 2
    return float(np.clip(mutual / mean, 0.0, 1.0)) if mean > 0 else 1.0
