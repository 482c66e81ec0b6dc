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
    their class, else it hands them on. So every class has at least `min_images`, and a node may
    be the class of what is left below it beside finer classes: `genus` next to two of its
    species.

    Args:
      taxonomy: whose leaves are to be lifted.
      leaf_sizes: images of each leaf. A leaf without any follows the others without counting.
      min_images: least number of images of a class.
      rule: along which parent leaves are lifted where a node has several; see `tree_parents`.
      drop_uncovered: leave out leaves that reach a root and are still too few.

    Raises:
      LabelSpaceError: where leaves with images reach a root and are too few (unless
        `drop_uncovered`), or where nothing is left.
    """
    sizes = np.asarray(leaf_sizes, np.int64)
    if sizes.shape != (taxonomy.num_leaves,) or sizes.min() < 0:
        raise LabelSpaceError(f"leaf_sizes: expected {taxonomy.num_leaves} counts")
    if min_images < 1:
        raise LabelSpaceError(f"min_images={min_images}; expected at least 1")
    class_of_leaf, stranded = _lift(taxonomy, sizes, min_images, tree_parents(taxonomy, rule))
    left_out = [leaf for leaf in stranded if sizes[leaf]]
    if left_out and not drop_uncovered:
        raise LabelSpaceError(
            f"{len(left_out)} leaves with {sizes[left_out].sum()} images, such as "
            f"{[taxonomy.leaf_ids[leaf] for leaf in left_out[:5]]}, reach the root and are fewer "
            f"than min_images={min_images}; lower it, or leave them out with drop_uncovered"
        )
    if (class_of_leaf < 0).all():
        raise LabelSpaceError(f"no class reaches min_images={min_images}")
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
            "num_uncovered_leaves": len(stranded),
        },
    )


def _lift(
    taxonomy: Taxonomy, sizes: np.ndarray, min_images: int, parent: np.ndarray
) -> tuple[np.ndarray, list[int]]:
    class_of_leaf = np.full(taxonomy.num_leaves, -1, np.int64)
    handed: list[list[int]] = [[] for _ in parent]
    for leaf, node in enumerate(taxonomy.leaf_nodes):
        handed[node].append(leaf)
    stranded: list[int] = []
    for node in range(len(parent) - 1, -1, -1):
        if handed[node] and sizes[handed[node]].sum() >= min_images:
            class_of_leaf[handed[node]] = node
        elif parent[node] >= 0:
            handed[parent[node]].extend(handed[node])
        else:
            stranded.extend(handed[node])
    return class_of_leaf, stranded
