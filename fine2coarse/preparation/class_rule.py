"""Rules by class: which classes have images enough to remain, and which images each holds out.

They need the images that can be used, so they are applied between the spills and the shards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fine2coarse.archives.archives import Skip, SourceError

if TYPE_CHECKING:
    from fine2coarse.preparation.shards import SplitPlan
    from fine2coarse.preparation.spill import SpillIndex

TOO_FEW_IMAGES = "class of too few images"


class NoClassLeft(SourceError):
    """A rule that no class of the source meets."""


@dataclasses.dataclass(frozen=True)
class ClassRule:
    """What holds for each class of a source that names no split.

    Attributes:
      class_ids: by label, as the spills have them.
      min_images: classes with fewer are left out, and the others numbered anew in their order; 0
        keeps all, those without images too.
      num_held_out: images of each class, the first in the order of their ids' bytes, that become
        the split `validation`; one at least is left to train on. None leaves this to others.
    """

    class_ids: Sequence[str]
    min_images: int = 0
    num_held_out: int | None = None

    def remaining(self, counts: np.ndarray) -> np.ndarray:
        """Which classes remain: bool [C].

        Args:
          counts: int [C], images of each class.

        Raises:
          NoClassLeft: where none does.
        """
        remaining = counts >= self.min_images
        if not remaining.any():
            largest = int(np.argmax(counts))
            raise NoClassLeft(
                f"no class has {self.min_images} images that can be used; of {len(counts)} classes "
                f"{self.class_ids[largest]} has most, {counts[largest]}: choose a smaller "
                "min_images_per_class"
            )
        return remaining

    def left_out(self, counts: np.ndarray, remaining: np.ndarray) -> list[Skip]:
        """What is told of the classes that are left out; those without images need no telling."""
        return [
            Skip(
                self.class_ids[label],
                TOO_FEW_IMAGES,
                f"{counts[label]} images; a class needs {self.min_images}",
                num_files=int(counts[label]),
            )
            for label in np.flatnonzero(~remaining & (counts > 0)).tolist()
        ]

    def held_out(self, plan: SplitPlan, indices: Sequence[SpillIndex]) -> np.ndarray:
        """Which images of a split's plan are held out: bool [N]."""
        chosen = np.zeros(plan.num_examples, bool)
        if self.num_held_out is None or not plan.num_examples:
            return chosen
        order = np.lexsort((plan.units, plan.labels))
        begins = np.flatnonzero(np.r_[True, np.diff(plan.labels[order]) != 0])
        for rows in np.split(order, begins[1:]):  # of one class
            first = min(self.num_held_out, len(rows) - 1)
            chosen[rows[np.argsort(_image_ids(plan, rows, indices), kind="stable")[:first]]] = True
        return chosen


def _image_ids(plan: SplitPlan, rows: np.ndarray, indices: Sequence[SpillIndex]) -> np.ndarray:
    """The ids of some images, which come ordered by unit: bytes [len(rows)]."""
    units = plan.units[rows]
    begins = np.flatnonzero(np.r_[True, np.diff(units) != 0])
    parts = zip(units[begins].tolist(), np.split(plan.rows[rows], begins[1:]))
    return np.concatenate([indices[unit].image_ids[places] for unit, places in parts])
