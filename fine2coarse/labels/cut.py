"""A cut through the taxonomy: nodes, none above another, that partition the leaves.

Either a given number of nodes, chosen so that class sizes are even, or a given list.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence

import numpy as np

from fine2coarse.labels.even_cut import SizedTree, even_cut
from fine2coarse.labels.level import from_nodes
from fine2coarse.labels.space import LabelSpace, LabelSpaceError
from fine2coarse.taxonomy.taxonomy import Taxonomy

# A node dropped because it stands below another leaves the cut one short; asking for as many
# more and cutting again settles within a few rounds on WordNet.
_NUM_ROUNDS = 6


def cut(
    taxonomy: Taxonomy,
    num_classes: int,
    *,
    leaf_sizes: Sequence[int] | None = None,
    drop_uncovered: bool = False,
) -> LabelSpace:
    """About `num_classes` nodes, none above another, whose sizes are as even as can be.

    Along one parent of each node (the first), the cut with the least sum of squared class sizes
    among those with exactly as many nodes is found by dynamic programming (with the number and
    the total fixed, that sum is least where the variance is). Where no cut has exactly that
    many, the nearest number that exists is taken. A leaf of several cut nodes goes to the one
    above it along its first parents. The same arguments give the same cut.

    Args:
      taxonomy: whose leaves are to be partitioned.
      num_classes: number of classes wanted.
      leaf_sizes: images of each leaf, to balance images; one each where None. A leaf without
        images asks for no class of its own.
      drop_uncovered: allow cuts below a leaf that is an inner node (ImageNet-21k has `dog` and
        `poodle`); its own images are then left out. Without this such a leaf is never cut
        below, which can make its class very large.

    Raises:
      LabelSpaceError: where `num_classes` is below 1 or above the number of leaves, or the
        nearest cut has less than half or more than twice as many.
    """
    sizes = np.ones(taxonomy.num_leaves) if leaf_sizes is None else np.asarray(leaf_sizes, float)
    if sizes.shape != (taxonomy.num_leaves,) or sizes.min() < 0 or not sizes.any():
        raise LabelSpaceError(
            f"leaf_sizes: expected {taxonomy.num_leaves} counts, not all zero, got {sizes.shape}"
        )
    if not 1 <= num_classes <= np.count_nonzero(sizes):
        raise LabelSpaceError(
            f"num_classes={num_classes}; expected 1 to {np.count_nonzero(sizes)}, the number of "
            "leaves with images"
        )
    tree = SizedTree.of(taxonomy, sizes)
    nodes = _cut_of_about(taxonomy, tree, num_classes, drop_uncovered)
    if not num_classes / 2 <= len(nodes) <= 2 * num_classes:
        raise LabelSpaceError(
            f"num_classes={num_classes}, but the nearest cut that covers every leaf has "
            f"{len(nodes)} classes; ask for about as many, or cut below leaves that are inner "
            "nodes with drop_uncovered"
        )
    return _part(
        taxonomy,
        nodes,
        owner=lambda leaf: _above_in_tree(taxonomy, tree.parent, leaf, nodes),
        name=f"cut-{len(nodes)}",
        source={
            "kind": "cut",
            "num_classes": num_classes,
            "weighted": leaf_sizes is not None,
            "drop_uncovered": drop_uncovered,
        },
    )


def chosen_nodes(
    taxonomy: Taxonomy, node_ids: Sequence[str], *, drop_uncovered: bool = False
) -> LabelSpace:
    """Listed nodes as superclasses: each leaf belongs to the one fewest edges above it.

    Of listed nodes equally near, the leaf goes to the one reached through earlier parents.

    Raises:
      LabelSpaceError: on an unknown or repeated node, one that stands above another, one
        without leaves, or leaves that none covers (unless `drop_uncovered`).
    """
    unknown = [node_id for node_id in node_ids if node_id not in taxonomy.index]
    if unknown or not node_ids:
        raise LabelSpaceError(
            f"{len(unknown)} of {len(node_ids)} nodes are not in the taxonomy: {unknown[:5]}; "
            f"its ids look like {list(taxonomy.node_ids[-3:])}"
        )
    if len(set(node_ids)) != len(node_ids):
        raise LabelSpaceError("the list of nodes repeats one")
    nodes = {taxonomy.index[node_id] for node_id in node_ids}
    for node in nodes:
        upper = nearest_node(taxonomy, taxonomy.parents[node], nodes)
        if upper is not None:
            raise LabelSpaceError(
                f"{taxonomy.node_ids[upper]!r} stands above {taxonomy.node_ids[node]!r}; no node "
                "of a cut may stand above another"
            )
    space = _part(
        taxonomy,
        nodes,
        owner=lambda leaf: nearest_node(taxonomy, (leaf,), nodes),
        name=f"nodes-{len(nodes)}",
        source={"kind": "cut", "nodes": list(node_ids), "drop_uncovered": drop_uncovered},
    )
    empty = [node_id for node_id in node_ids if node_id not in set(space.class_ids)]
    if empty:
        raise LabelSpaceError(f"{len(empty)} listed nodes cover no leaf: {empty[:5]}")
    uncovered = np.flatnonzero(space.table[:, 0] < 0)
    if len(uncovered) and not drop_uncovered:
        some = [taxonomy.leaf_ids[leaf] for leaf in uncovered[:5]]
        raise LabelSpaceError(
            f"{len(uncovered)} of {taxonomy.num_leaves} leaves lie under none of the listed nodes, "
            f"such as {some}; list nodes above them, or leave them out with drop_uncovered"
        )
    return space


def _part(
    taxonomy: Taxonomy,
    nodes: Collection[int],
    *,
    owner: Callable[[int], int | None],
    name: str,
    source: dict,
) -> LabelSpace:
    owners = [owner(leaf) for leaf in taxonomy.leaf_nodes]
    return from_nodes(
        taxonomy,
        [() if node is None else (node,) for node in owners],
        name=name,
        source=source | {"num_uncovered_leaves": owners.count(None)},
    )


def nearest_node(taxonomy: Taxonomy, starts: Sequence[int], wanted: Collection[int]) -> int | None:
    """The wanted node fewest edges above (or among) the starts; None where there is none."""
    pending, seen = deque(starts), set(starts)
    while pending:
        node = pending.popleft()
        if node in wanted:
            return node
        new = [parent for parent in taxonomy.parents[node] if parent not in seen]
        seen.update(new)
        pending.extend(new)
    return None


def _above_in_tree(
    taxonomy: Taxonomy, parent: np.ndarray, leaf: int, nodes: Collection[int]
) -> int | None:
    node = leaf
    while node >= 0 and node not in nodes:
        node = int(parent[node])
    return node if node >= 0 else nearest_node(taxonomy, (leaf,), nodes)


def _cut_of_about(
    taxonomy: Taxonomy, tree: SizedTree, num_classes: int, drop_uncovered: bool
) -> set[int]:
    best: set[int] = set()
    asked = num_classes
    for _ in range(_NUM_ROUNDS):
        nodes = _without_lower(taxonomy, even_cut(tree, asked, drop_uncovered))
        if not best or abs(len(nodes) - num_classes) < abs(len(best) - num_classes):
            best = nodes
        if len(nodes) >= num_classes:
            break
        asked += num_classes - len(nodes)
    return best


def _without_lower(taxonomy: Taxonomy, nodes: set[int]) -> set[int]:
    return {node for node in nodes if nearest_node(taxonomy, taxonomy.parents[node], nodes) is None}
