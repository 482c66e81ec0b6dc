"""One parent for each node: the spanning tree along which a graph's leaves get a single class."""

from __future__ import annotations

import numpy as np

from fine2coarse.labels.space import LabelSpaceError
from fine2coarse.taxonomy.taxonomy import Taxonomy

RULES = ("first", "deepest")


def check_rule(rule: str) -> None:
    """Raises LabelSpaceError on an unknown rule."""
    if rule not in RULES:
        raise LabelSpaceError(f"unknown rule {rule!r}; expected one of {RULES}")


def depths(taxonomy: Taxonomy) -> np.ndarray:
    """Edges on the longest way up from each node to a root: int64 [nodes]."""
    depth = np.zeros(len(taxonomy.node_ids), np.int64)
    for node, parents in enumerate(taxonomy.parents):
        if parents:
            depth[node] = 1 + max(depth[parent] for parent in parents)
    return depth


def tree_parents(taxonomy: Taxonomy, rule: str = "first") -> np.ndarray:
    """One parent of each node: int64 [nodes], -1 for a root.

    Args:
      taxonomy: any graph; of a tree there is but one answer.
      rule: 'first': the parent that the taxonomy names first; 'deepest': the parent farthest
        from the root, the first of equals.
    """
    check_rule(rule)
    depth = depths(taxonomy) if rule == "deepest" else np.zeros(len(taxonomy.parents))
    return np.asarray(
        [
            max(parents, key=lambda parent: depth[parent]) if parents else -1
            for parents in taxonomy.parents
        ],
        np.int64,
    )
