"""The images that a label space is made for, and the labels they get from one."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from fine2coarse.image_ids import ImageIds
from fine2coarse.labels.space import LabelSpace, LabelSpaceError, as_image_ids


@dataclasses.dataclass(frozen=True, eq=False)
class ImageIndex:
    """Ids and leaf labels of a dataset's images, and which of them are trained on.

    Attributes:
      image_ids: unique over all splits; any sequence of str is taken, and kept as `ImageIds`.
      leaf_labels: int [N], the dataset's own label of each image; may be memory-mapped.
      is_train: bool [N]; label spaces are *made* from these, and label the others as well.
      dataset_fingerprint: of the prepared images; label spaces keyed by image carry it.
      taxonomy_fingerprint: of their taxonomy; label spaces keyed by leaf carry it.
    """

    image_ids: Sequence[str]
    leaf_labels: np.ndarray
    is_train: np.ndarray
    dataset_fingerprint: str
    taxonomy_fingerprint: str

    def __post_init__(self) -> None:
        """Checks lengths, uniqueness and that something is trained on."""
        object.__setattr__(self, "image_ids", as_image_ids(self.image_ids))
        labels = np.asarray(self.leaf_labels)
        labels = labels if labels.dtype.kind in "iu" else labels.astype(np.int64)
        object.__setattr__(self, "leaf_labels", labels)
        object.__setattr__(self, "is_train", np.asarray(self.is_train, bool))
        num = len(self.image_ids)
        if self.leaf_labels.shape != (num,) or self.is_train.shape != (num,):
            raise LabelSpaceError(
                f"{num} image ids, leaf labels {self.leaf_labels.shape} and is_train "
                f"{self.is_train.shape}; expected one of each per image"
            )
        repeated = self.image_ids.duplicates()
        if repeated:
            raise LabelSpaceError(
                f"image ids repeat, such as {repeated[0]!r}; they must be unique over all splits"
            )
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
        ids = {name: as_image_ids(split_ids) for name, (split_ids, _) in splits.items()}
        labels = [np.asarray(labels) for _, labels in splits.values()]
        index = cls(
            image_ids=ImageIds.concatenate(list(ids.values())),
            leaf_labels=labels[0] if len(labels) == 1 else np.concatenate(labels),
            is_train=np.repeat(
                [name == train_split for name in splits],
                [len(split_ids) for split_ids in ids.values()],
            ),
            dataset_fingerprint=dataset_fingerprint,
            taxonomy_fingerprint=taxonomy_fingerprint,
        )
        index.__dict__["train_ids"] = ids[train_split]  # the same object: its rows are known
        return index

    def __len__(self) -> int:
        """Number of images, trained on or not."""
        return len(self.image_ids)

    @functools.cached_property
    def train_ids(self) -> ImageIds:
        """Ids of the training images, in order."""
        return self.image_ids if self.is_train.all() else self.image_ids.subset(self.is_train)

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
        """A label space of these images: `labels` int [N], -1 where one is left out.

        Args:
          labels: the class of each image.
          class_ids: as `LabelSpace` takes them.
          name: of the space.
          source: how it was made.
          class_names: same order; the ids where empty.
        """
        return LabelSpace(
            class_ids=_kept(class_ids),
            class_names=_kept(class_names or class_ids),
            table=np.asarray(labels, np.int32)[:, None],
            keyed_by="image",
            image_ids=self.image_ids,
            name=name,
            dataset_fingerprint=self.dataset_fingerprint,
            source=source,
        )


def _kept(strings: Sequence[str]) -> Sequence[str]:
    return strings if isinstance(strings, ImageIds) else tuple(strings)
