"""The evenest cut of a tree into a number of parts, by dynamic programming."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from fine2coarse.labels.space import LabelSpaceError
from fine2coarse.labels.tree import tree_parents
from fine2coarse.taxonomy.taxonomy import Taxonomy


@dataclasses.dataclass(frozen=True)
class SizedTree:
    """The taxonomy's occupied part, along one parent of each node.

    `own` and `total` are the sizes of each node's own leaf and of all leaves at and below it.
    """

    parent: np.ndarray
    children: list[list[int]]
    roots: list[int]
    own: np.ndarray
    total: np.ndarray

    @classmethod
    def of(cls, taxonomy: Taxonomy, sizes: np.ndarray) -> SizedTree:
        """The tree along first parents, with `sizes` images of each leaf."""
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


def even_cut(tree: SizedTree, num_classes: int, drop_uncovered: bool) -> set[int]:
    """The cut of the tree with the least sum of squared sizes, by dynamic programming.

    Bottom-up, `costs[node]` holds the least cost of splitting what lies at and below the node into
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
        """The costs of one class (self) and of splitting; split into one class, it is no better."""
        length = max(1, parted.first + len(parted.values) - 1)
        values = np.full(length, np.inf)
        values[parted.first - 1 : parted.first - 1 + len(parted.values)] = parted.values
        values[0] = self.values[0]
        return _Costs(1, values)


def _part_among(
    children: Sequence[int], costs: dict[int, _Costs], most: int
) -> tuple[_Costs, list[tuple[int, np.ndarray]]]:
    """Costs of splitting several subtrees at once, and the share each took for every count."""
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
    tree: SizedTree, shares: dict[int, list[tuple[int, np.ndarray]]], num_classes: int
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


def _lowest_alike(tree: SizedTree, node: int) -> int:
    """The lowest node with the same images: it says best what the class holds."""
    while not tree.own[node] and len(tree.children[node]) == 1:
        node = tree.children[node][0]
    return node
