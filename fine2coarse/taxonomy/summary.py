"""What a taxonomy's levels look like: how many classes, how many labels, how large."""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter

from fine2coarse.taxonomy.taxonomy import Taxonomy


@dataclasses.dataclass(frozen=True)
class LevelSummary:
    """One level of a taxonomy.

    Attributes:
      level: its name.
      num_classes: classes of the level, path-qualified.
      num_names: distinct display names among them; fewer where a name stands for two classes.
      multi_label_leaves: leaves with more than one class.
      max_labels: most classes of one leaf.
      smallest_class: leaves in the smallest class.
      median_class: leaves in the median class.
      largest_class: leaves in the largest class.
    """

    level: str
    num_classes: int
    num_names: int
    multi_label_leaves: int
    max_labels: int
    smallest_class: int
    median_class: float
    largest_class: int


def summarize_level(taxonomy: Taxonomy, level: str) -> LevelSummary:
    """Summarizes one level; class sizes are in leaves.

    Raises:
      TaxonomyError: on an unknown level, or a leaf that has no class there.
    """
    rows = taxonomy.ancestors_at(level)
    sizes = Counter(node for row in rows for node in row)
    return LevelSummary(
        level=level,
        num_classes=len(sizes),
        num_names=len({taxonomy.names[node] for node in sizes}),
        multi_label_leaves=sum(len(row) > 1 for row in rows),
        max_labels=max(map(len, rows)),
        smallest_class=min(sizes.values()),
        median_class=statistics.median(sizes.values()),
        largest_class=max(sizes.values()),
    )
