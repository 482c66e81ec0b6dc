"""Which target classes the classes of a label space belong to: the matrix M of coarse-from-fine."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os

import numpy as np

from fine2coarse.files import write_atomic
from fine2coarse.labels.cut import nearest_node
from fine2coarse.labels.space import UNREADABLE, LabelSpaceError
from fine2coarse.taxonomy.taxonomy import Taxonomy


@dataclasses.dataclass(frozen=True, eq=False)
class ClassMap:
    """A sparse matrix M [C, K]: M[c, k] is the share of class c that belongs to target k.

    Where every class lies within one target, each row has a single one. Random ids that ignore the
    target have rows of fractions. A row may be empty (a class without images), or sum to less than
    one (part of the class belongs to no target).

    Attributes:
      num_classes: C.
      num_targets: K.
      classes: int32 [E], the class of each entry; sorted, then by target; no pair repeats.
      targets: int32 [E], its target.
      shares: float32 [E], above 0 and at most 1.
    """

    num_classes: int
    num_targets: int
    classes: np.ndarray
    targets: np.ndarray
    shares: np.ndarray

    def __post_init__(self) -> None:
        """Checks lengths, ranges and that no pair repeats."""
        classes, targets = (np.asarray(a, np.int32) for a in (self.classes, self.targets))
        shares = np.asarray(self.shares, np.float32)
        if not classes.shape == targets.shape == shares.shape or classes.ndim != 1:
            raise LabelSpaceError(
                f"class map: expected three arrays of one length, got {classes.shape}, "
                f"{targets.shape}, {shares.shape}"
            )
        keys = classes.astype(np.int64) * self.num_targets + targets
        if len(keys) and (
            min(classes.min(), targets.min()) < 0
            or classes.max() >= self.num_classes
            or targets.max() >= self.num_targets
            or shares.min() <= 0
            or shares.max() > 1 + 1e-6
            or np.any(np.diff(keys) <= 0)
        ):
            raise LabelSpaceError(
                f"class map: entries must be sorted, distinct and within [{self.num_classes}, "
                f"{self.num_targets}], with shares above 0 and at most 1"
            )
        for name, array in (("classes", classes), ("targets", targets), ("shares", shares)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    def from_labels(
        cls, labels: np.ndarray, targets: np.ndarray, shape: tuple[int, int]
    ) -> ClassMap:
        """Counts over images: the share of each class's images that have each target.

        Args:
          labels: int [N, M], the classes of each image, padded with -1.
          targets: int [N], the target of each image; -1 for one that belongs to none, whose share
            of its classes is then missing from their rows.
          shape: (C, K), numbers of classes and of targets.
        """
        num_classes, num_targets = shape
        targets = np.asarray(targets)
        totals = np.zeros(num_classes, np.int64)
        pairs = []
        for column in labels.T:  # each class of an image counts
            known = column >= 0
            totals += np.bincount(column[known], minlength=num_classes)
            known &= targets >= 0
            pairs.append(column[known].astype(np.int64))
            pairs[-1] *= num_targets
            pairs[-1] += targets[known]
        keys = np.concatenate(pairs) if len(pairs) > 1 else pairs[0]
        del pairs
        keys.sort()
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        counts = np.diff(starts, append=len(keys))
        keys = keys[starts]
        classes = (keys // num_targets).astype(np.int32)
        targets = (keys % num_targets).astype(np.int32)
        del keys, starts
        return cls(num_classes, num_targets, classes, targets, counts / totals[classes])

    @property
    def is_nested(self) -> bool:
        """Whether every class with images lies within one target."""
        return bool(np.all(np.diff(self.classes) > 0) and np.all(self.shares == 1))

    @functools.cached_property
    def largest(self) -> np.ndarray:
        """Int32 [C]: the target with the largest share of each class, -1 for an empty row.

        Of equal shares the first target counts.
        """
        found = np.full(self.num_classes, -1, np.int32)
        # Entries written last win: smallest shares first, and of equal ones the last target.
        order = np.lexsort((-self.targets, self.shares))
        found[self.classes[order]] = self.targets[order]
        return found

    def tells_apart(self, targets: np.ndarray) -> bool:
        """Whether each of these targets has the largest share of some class.

        One that has none, as where classes are coarser than targets, is hardly ever predicted.
        """
        return bool(np.isin(np.unique(targets), self.largest).all())

    def dense(self) -> np.ndarray:
        """Float32 [C, K]."""
        table = np.zeros((self.num_classes, self.num_targets), np.float32)
        table[self.classes, self.targets] = self.shares
        return table

    def then(self, other: ClassMap) -> ClassMap:
        """The product of this map and one from its targets to further ones.

        Raises:
          LabelSpaceError: where the other's classes are not this one's targets.
        """
        if other.num_classes != self.num_targets:
            raise LabelSpaceError(
                f"a map to {self.num_targets} classes cannot be followed by one from "
                f"{other.num_classes}"
            )
        product = self.dense().astype(np.float64) @ other.dense()
        classes, targets = np.nonzero(product)
        shares = np.minimum(product[classes, targets], 1.0)
        return ClassMap(self.num_classes, other.num_targets, classes, targets, shares)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all of it: 64 hexadecimal digits."""
        digest = hashlib.sha256(f"{self.num_classes} {self.num_targets}\n".encode())
        for array, kind in ((self.classes, "<i4"), (self.targets, "<i4"), (self.shares, "<f4")):
            digest.update(array.astype(kind).tobytes())
        return digest.hexdigest()

    def save(self, path: str | os.PathLike) -> None:
        """Writes a .npz, whole or not at all."""
        columns = {
            "shape": np.asarray([self.num_classes, self.num_targets]),
            "classes": self.classes,
            "targets": self.targets,
            "shares": self.shares,
        }
        write_atomic(path, lambda file: np.savez_compressed(file, **columns))

    @classmethod
    def load(cls, path: str | os.PathLike) -> ClassMap:
        """Reads what `save` wrote.

        Raises:
          LabelSpaceError: where the file is not a class map.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                num_classes, num_targets = map(int, arrays["shape"])
                columns = (arrays[name] for name in ("classes", "targets", "shares"))
                return cls(num_classes, num_targets, *columns)
        except UNREADABLE as error:
            raise LabelSpaceError(f"{path}: not a class map of ClassMap.save: {error}") from error


def targets_of_leaves(taxonomy: Taxonomy, target_ids: tuple[str, ...]) -> np.ndarray | None:
    """The target class at or nearest above each leaf, where targets are nodes of the taxonomy.

    So images labelled in one dataset get the classes of a task on other images, such as those of
    ImageNet-1k, every class of which is a synset, for images of ImageNet-21k.

    Args:
      taxonomy: of the images.
      target_ids: node ids of the K targets.

    Returns:
      int32 [num_leaves], -1 for a leaf below none; None where some target is not a node of the
      taxonomy.
    """
    if not all(target in taxonomy.index for target in target_ids):
        return None
    number = {taxonomy.index[target]: k for k, target in enumerate(target_ids)}
    owners = [nearest_node(taxonomy, (leaf,), number) for leaf in taxonomy.leaf_nodes]
    return np.asarray([-1 if node is None else number[node] for node in owners], np.int32)
