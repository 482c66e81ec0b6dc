"""A cut through the taxonomy: nodes, none above another, that part the leaves among them.

Either about as many as one asks for, chosen so that class sizes are even, or a list of one's own.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Collection, Sequence

import numpy as np

from fine2coarse.labels.level import from_nodes
from fine2coarse.labels.space import LabelSpace, LabelSpaceError
from fine2coarse.labels.tree import tree_parents
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
      taxonomy: whose leaves are to be parted.
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
    tree = _Tree.of(taxonomy, sizes)
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
    """Superclasses of one's own: each leaf belongs to the listed node fewest edges above it.

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
        upper = _nearest(taxonomy, taxonomy.parents[node], nodes)
        if upper is not None:
            raise LabelSpaceError(
                f"{taxonomy.node_ids[upper]!r} stands above {taxonomy.node_ids[node]!r}; no node "
                "of a cut may stand above another"
            )
    space = _part(
        taxonomy,
        nodes,
        owner=lambda leaf: _nearest(taxonomy, (leaf,), nodes),
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


def _nearest(taxonomy: Taxonomy, starts: Sequence[int], wanted: Collection[int]) -> int | None:
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
    return node if node >= 0 else _nearest(taxonomy, (leaf,), nodes)


@dataclasses.dataclass(frozen=True)
class _Tree:
    """The taxonomy's occupied part, along one parent of each node.

    `own` and `total` are the sizes of each node's own leaf and of all leaves at and below it.
    """

    parent: np.ndarray
    children: list[list[int]]
    roots: list[int]
    own: np.ndarray
    total: np.ndarray

    @classmethod
    def of(cls, taxonomy: Taxonomy, sizes: np.ndarray) -> _Tree:
        parent = tree_parents(taxonomy)
        own = np.zeros(len(parent))
        own[list(taxonomy.leaf_nodes)] = sizes
        total = own.copy()
        for node in range(len(parent) - 1, -1, -1):
            if parent[node] >= 0:
                total[parent[node]] += total[node]
        children: list[list[int]] = [[] for _ in parent]
        roots = []
        for node in np.flatnonzero(total > 0).tolist():
            (children[parent[node]] if parent[node] >= 0 else roots).append(node)
        return cls(parent, children, roots, own, total)


def _cut_of_about(
    taxonomy: Taxonomy, tree: _Tree, num_classes: int, drop_uncovered: bool
) -> set[int]:
    best: set[int] = set()
    asked = num_classes
    for _ in range(_NUM_ROUNDS):
        nodes = _without_lower(taxonomy, _even_cut(tree, asked, drop_uncovered))
        if not best or abs(len(nodes) - num_classes) < abs(len(best) - num_classes):
            best = nodes
        if len(nodes) >= num_classes:
            break
        asked += num_classes - len(nodes)
    return best


def _without_lower(taxonomy: Taxonomy, nodes: set[int]) -> set[int]:
    return {node for node in nodes if _nearest(taxonomy, taxonomy.parents[node], nodes) is None}


def _even_cut(tree: _Tree, num_classes: int, drop_uncovered: bool) -> set[int]:
    """The cut of the tree with the least sum of squared sizes, by dynamic programming.

    Bottom-up, `costs[node]` holds the least cost of parting what lies at and below the node into
    1, 2, ... classes; `shares[node]` how many of them its children, one after another, took.
    """
    most = 2 * num_classes  # a single class is always nearer to num_classes than more than this
    dropped_cost = tree.total[tree.roots].sum() / num_classes if drop_uncovered else np.inf
    costs: dict[int, _Costs] = {}
    shares: dict[int, list[tuple[int, np.ndarray]]] = {}
    for node in range(len(tree.parent) - 1, -1, -1):
        if tree.total[node] == 0:
            continue
        whole = _Costs(1, np.asarray([tree.total[node] ** 2]))
        if not tree.children[node] or (tree.own[node] and not drop_uncovered):
            costs[node] = whole
            continue
        parted, shares[node] = _part_among(tree.children[node], costs, most)
        if tree.own[node]:
            parted = _Costs(parted.first, parted.values + tree.own[node] * dropped_cost)
        costs[node] = whole.or_else(parted)
    total, shares[-1] = _part_among(tree.roots, costs, most)
    counts = total.first + np.flatnonzero(np.isfinite(total.values))
    if not len(counts):
        raise LabelSpaceError(
            f"num_classes={num_classes}, but the taxonomy has {len(tree.roots)} roots, each of "
            "which is a class at least"
        )
    return _walk_back(tree, shares, int(counts[np.argmin(np.abs(counts - num_classes))]))


@dataclasses.dataclass(frozen=True)
class _Costs:
    """Least costs of `first`, `first + 1`, ... classes; infinite where there is no such cut."""

    first: int
    values: np.ndarray

    def or_else(self, parted: _Costs) -> _Costs:
        """Self (of one class) joined by costs of more; one class parted alike is no better."""
        length = max(1, parted.first + len(parted.values) - 1)
        values = np.full(length, np.inf)
        values[parted.first - 1 : parted.first - 1 + len(parted.values)] = parted.values
        values[0] = self.values[0]
        return _Costs(1, values)


def _part_among(
    children: Sequence[int], costs: dict[int, _Costs], most: int
) -> tuple[_Costs, list[tuple[int, np.ndarray]]]:
    """Costs of parting several subtrees at once, and the share each took for every count."""
    joint = _Costs(0, np.zeros(1))
    shares = []
    for child in children:
        joint, share = _joined(joint, costs[child], most)
        shares.append((child, share))
    return joint, shares


def _joined(left: _Costs, right: _Costs, most: int) -> tuple[_Costs, np.ndarray]:
    """Least costs of both together, up to `most` classes, and the share that `right` took."""
    first = left.first + right.first
    length = min(len(left.values) + len(right.values) - 1, max(most - first + 1, 0))
    values = np.full(length, np.inf)
    share = np.zeros(length, np.int64)
    short, long = (right, left) if len(right.values) <= len(left.values) else (left, right)
    for extra, cost in enumerate(short.values[:length]):
        sums = long.values[: length - extra] + cost
        place = slice(extra, extra + len(sums))
        better = sums < values[place]
        values[place][better] = sums[better]
        share[place][better] = short.first + extra
    if short is left:
        share = first + np.arange(length) - share
    return _Costs(first, values), share


def _walk_back(
    tree: _Tree, shares: dict[int, list[tuple[int, np.ndarray]]], num_classes: int
) -> set[int]:
    nodes: set[int] = set()
    pending = [(-1, num_classes)]
    while pending:
        node, count = pending.pop()
        if count == 1 and node >= 0:
            nodes.add(_lowest_alike(tree, node))
            continue
        first = sum(1 for _ in shares[node])
        for child, share in reversed(shares[node]):
            taken = int(share[count - first])
            pending.append((child, taken))
            count -= taken
            first -= 1
    return nodes


def _lowest_alike(tree: _Tree, node: int) -> int:
    """The lowest node with the same images: it says best what the class holds."""
    while not tree.own[node] and len(tree.children[node]) == 1:
        node = tree.children[node][0]
    return node
