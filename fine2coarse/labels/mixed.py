"""Classes from several levels: what has images enough stays fine, what has not is lifted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fine2coarse.labels.level import from_nodes
from fine2coarse.labels.space import LabelSpace, LabelSpaceError
from fine2coarse.labels.tree import tree_parents
from fine2coarse.taxonomy.taxonomy import Taxonomy


def mixed(
    taxonomy: Taxonomy,
    leaf_sizes: Sequence[int],
    min_images: int,
    *,
    rule: str = "first",
    drop_uncovered: bool = False,
) -> LabelSpace:
    """Leaves of at least `min_images` are classes; smaller ones are lifted until they are many.

    From the bottom up, leaves that are too small are handed to their parent; where those handed
    to a node (and its own images, if it is a leaf itself) reach `min_images`, the node becomes
    their class, else it hands them on. So a node may be the class of what is left below it
    beside finer classes: `genus` next to two of its species. Leaves that come to a root and are
    still too few take the nearest node above them that has `min_images` with all that lies
    below it, finer classes included: theirs are the only classes smaller than `min_images`, and
    the source counts them.

    Args:
      taxonomy: whose leaves are to be lifted.
      leaf_sizes: images of each leaf. A leaf without any never makes a class: it joins the
        nearest one above it, or is left out.
      min_images: least number of images of a class.
      rule: along which parent leaves are lifted where a node has several; see `tree_parents`.
      drop_uncovered: leave out what comes to a root, so that every class has `min_images`.

    Raises:
      LabelSpaceError: where leaves have no node with enough images above them (unless
        `drop_uncovered`), or where nothing is left.
    """
    sizes = np.asarray(leaf_sizes, np.int64)
    if sizes.shape != (taxonomy.num_leaves,) or sizes.min() < 0:
        raise LabelSpaceError(f"leaf_sizes: expected {taxonomy.num_leaves} counts")
    if min_images < 1:
        raise LabelSpaceError(f"min_images={min_images}; expected at least 1")
    parent = tree_parents(taxonomy, rule)
    class_of_leaf = _lift(taxonomy, sizes, min_images, parent)
    if not drop_uncovered:
        _place_the_rest(taxonomy, sizes, min_images, parent, class_of_leaf)
    left_out = np.flatnonzero((class_of_leaf < 0) & (sizes > 0))
    if (class_of_leaf < 0).all():
        raise LabelSpaceError(f"no class reaches min_images={min_images}")
    if len(left_out) and not drop_uncovered:
        raise LabelSpaceError(
            f"{len(left_out)} leaves with {sizes[left_out].sum()} images, such as "
            f"{[taxonomy.leaf_ids[leaf] for leaf in left_out[:5]]}, have no node above them with "
            f"min_images={min_images}; lower it, or leave them out with drop_uncovered"
        )
    covered = class_of_leaf >= 0
    place = np.unique(class_of_leaf[covered], return_inverse=True)[1]
    size_of_class = np.bincount(place, sizes[covered])
    return from_nodes(
        taxonomy,
        [(node,) if node >= 0 else () for node in class_of_leaf.tolist()],
        name=f"mixed-{min_images}",
        source={
            "kind": "mixed",
            "min_images": min_images,
            "rule": rule,
            "drop_uncovered": drop_uncovered,
            "num_leaves_kept": int(np.sum(class_of_leaf == np.asarray(taxonomy.leaf_nodes))),
            "num_classes_below_min": int(np.sum(size_of_class < min_images)),
            "num_uncovered_leaves": int(np.sum(class_of_leaf < 0)),
        },
    )


def _lift(taxonomy: Taxonomy, sizes: np.ndarray, min_images: int, parent: np.ndarray) -> np.ndarray:
    """The node that is the class of each leaf; -1 where a root was reached."""
    class_of_leaf = np.full(taxonomy.num_leaves, -1, np.int64)
    handed: list[list[int]] = [[] for _ in parent]
    for leaf, node in enumerate(taxonomy.leaf_nodes):
        handed[node].append(leaf)
    for node in range(len(parent) - 1, -1, -1):
        if handed[node] and sizes[handed[node]].sum() >= min_images:
            class_of_leaf[handed[node]] = node
        elif parent[node] >= 0:
            handed[parent[node]].extend(handed[node])
    return class_of_leaf


def _place_the_rest(
    taxonomy: Taxonomy,
    sizes: np.ndarray,
    min_images: int,
    parent: np.ndarray,
    class_of_leaf: np.ndarray,
) -> None:
    total = np.zeros(len(parent), np.int64)
    total[list(taxonomy.leaf_nodes)] = sizes
    for node in range(len(parent) - 1, -1, -1):
        if parent[node] >= 0:
            total[parent[node]] += total[node]
    for leaf in np.flatnonzero((class_of_leaf < 0) & (sizes > 0)):
        class_of_leaf[leaf] = _climb(parent, taxonomy.leaf_nodes[leaf], total >= min_images)
    is_class = np.isin(np.arange(len(parent)), class_of_leaf)
    for leaf in np.flatnonzero(class_of_leaf < 0):
        class_of_leaf[leaf] = _climb(parent, taxonomy.leaf_nodes[leaf], is_class)


def _climb(parent: np.ndarray, node: int, wanted: np.ndarray) -> int:
    """The first node at or above this one that is wanted; -1 where none is."""
    while node >= 0 and not wanted[node]:
        node = int(parent[node])
    return node
