"""The images that a label space is made for, and the labels they get from one."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from fine2coarse.labels.space import LabelSpace, LabelSpaceError


@dataclasses.dataclass(frozen=True, eq=False)
class ImageIndex:
    """Ids and leaf labels of a dataset's images, and which of them are trained on.

    Attributes:
      image_ids: unique over all splits.
      leaf_labels: int64 [N], the dataset's own label of each image.
      is_train: bool [N]; label spaces are *made* from these, and label the others as well.
      dataset_fingerprint: of the prepared images; label spaces keyed by image carry it.
      taxonomy_fingerprint: of their taxonomy; label spaces keyed by leaf carry it.
    """

    image_ids: tuple[str, ...]
    leaf_labels: np.ndarray
    is_train: np.ndarray
    dataset_fingerprint: str
    taxonomy_fingerprint: str

    def __post_init__(self) -> None:
        """Checks lengths, uniqueness and that something is trained on."""
        object.__setattr__(self, "leaf_labels", np.asarray(self.leaf_labels, np.int64))
        object.__setattr__(self, "is_train", np.asarray(self.is_train, bool))
        num = len(self.image_ids)
        if self.leaf_labels.shape != (num,) or self.is_train.shape != (num,):
            raise LabelSpaceError(
                f"{num} image ids, leaf labels {self.leaf_labels.shape} and is_train "
                f"{self.is_train.shape}; expected one of each per image"
            )
        if len(set(self.image_ids)) != num:
            raise LabelSpaceError("image ids repeat; they must be unique over all splits")
        if not self.is_train.any():
            raise LabelSpaceError("no image is marked as a training image")

    @classmethod
    def of_splits(
        cls,
        splits: Mapping[str, tuple[Sequence[str], np.ndarray]],
        train_split: str,
        *,
        dataset_fingerprint: str,
        taxonomy_fingerprint: str,
    ) -> ImageIndex:
        """Joins splits, given as name → (image ids, leaf labels).

        Raises:
          LabelSpaceError: where `train_split` is not among them.
        """
        if train_split not in splits:
            raise LabelSpaceError(f"no split {train_split!r} among {sorted(splits)}")
        ids = [image_id for split_ids, _ in splits.values() for image_id in split_ids]
        return cls(
            image_ids=tuple(ids),
            leaf_labels=np.concatenate([np.asarray(labels) for _, labels in splits.values()]),
            is_train=np.repeat(
                [name == train_split for name in splits],
                [len(split_ids) for split_ids, _ in splits.values()],
            ),
            dataset_fingerprint=dataset_fingerprint,
            taxonomy_fingerprint=taxonomy_fingerprint,
        )

    def __len__(self) -> int:
        """Number of images, trained on or not."""
        return len(self.image_ids)

    @functools.cached_property
    def num_train(self) -> int:
        """Number of training images."""
        return int(self.is_train.sum())

    def leaf_sizes(self, num_leaves: int) -> np.ndarray:
        """Training images of each leaf: int64 [num_leaves]."""
        return np.bincount(self.leaf_labels[self.is_train], minlength=num_leaves)

    def check(self, space: LabelSpace, what: str = "the dataset") -> None:
        """Raises LabelSpaceError where `space` was made for other images or another taxonomy."""
        by_leaf = space.keyed_by == "leaf"
        mine = self.taxonomy_fingerprint if by_leaf else self.dataset_fingerprint
        space.check_belongs_to(mine, f"{what}'s {'taxonomy' if by_leaf else 'set of images'}")

    def labels(self, space: LabelSpace) -> np.ndarray:
        """Labels of all images: int32 [N, M], padded with -1 (see `LabelSpace.lookup`)."""
        self.check(space)
        return space.lookup(self.leaf_labels, self.image_ids)

    def single_labels(self, space: LabelSpace) -> np.ndarray:
        """One label an image: int32 [N], -1 where an image is not covered.

        Raises:
          LabelSpaceError: where an image has several.
        """
        labels = self.labels(space)
        if labels.shape[1] > 1 and np.any(labels[:, 1] >= 0):
            raise LabelSpaceError(
                f"label space {space.name!r} gives {np.sum(labels[:, 1] >= 0)} images several "
                "labels; expected one each: make it single-label (rule 'first' or 'deepest')"
            )
        return labels[:, 0]

    def target_labels(self, target: LabelSpace) -> np.ndarray:
        """As `single_labels`, for a target whose classes must all occur in training.

        Raises:
          LabelSpaceError: where a class has no training image, or a training image no class.
        """
        labels = self.single_labels(target)
        trained = labels[self.is_train]
        if np.any(trained < 0):
            raise LabelSpaceError(
                f"{np.sum(trained < 0)} of {self.num_train} training images have no class in "
                f"target {target.name!r}; cover them or leave them out of the dataset"
            )
        sizes = np.bincount(trained, minlength=target.num_classes)
        if not sizes.all():
            empty = [target.class_names[index] for index in np.flatnonzero(sizes == 0)]
            raise LabelSpaceError(
                f"{len(empty)} of {target.num_classes} classes of target {target.name!r} have no "
                f"training image: {empty[:5]}; make the target from classes that occur"
            )
        return labels

    def make_space(
        self,
        labels: np.ndarray,
        class_ids: Sequence[str],
        *,
        name: str,
        source: Mapping,
        class_names: Sequence[str] = (),
    ) -> LabelSpace:
        """A label space of these images: `labels` int [N], -1 where one is left out."""
        return LabelSpace(
            class_ids=tuple(class_ids),
            class_names=tuple(class_names or class_ids),
            table=np.asarray(labels, np.int32)[:, None],
            keyed_by="image",
            image_ids=self.image_ids,
            name=name,
            dataset_fingerprint=self.dataset_fingerprint,
            source=source,
        )
