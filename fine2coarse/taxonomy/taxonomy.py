"""The taxonomy: a directed acyclic graph of named, ranked nodes, in topological order."""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from fine2coarse.errors import UsageError


class TaxonomyError(UsageError):
    """A taxonomy that contradicts itself: a cycle, a second parent, an unknown level."""


@dataclasses.dataclass(frozen=True, eq=False)
class Taxonomy:
    """A DAG of nodes, of which some are the *leaves*: the classes a dataset is labelled with.

    A leaf may have descendants of its own: ImageNet-21k labels images both as `dog` and as
    `poodle`. Leaf `i` is the dataset's integer label `i`.

    Attributes:
      node_ids: unique ids, path-qualified where bare names are not unique. Every parent stands
        before its children.
      names: display name of each node.
      ranks: rank of each node (`genus`, `family`, ...), empty where the taxonomy has none.
      parents: indices of each node's parents; several where the graph is not a tree.
      leaf_nodes: node index of each leaf, in the order of the dataset's labels.
      levels: names of the levels, finest first. With `level_kind='rank'` these are ranks; with
        `level_kind='hops'` they are '0', '1', ...: the number of edges climbed from the leaf.
      level_kind: 'rank' or 'hops'.
    """

    node_ids: tuple[str, ...]
    names: tuple[str, ...]
    ranks: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]
    leaf_nodes: tuple[int, ...]
    levels: tuple[str, ...]
    level_kind: str = "rank"

    def __post_init__(self) -> None:
        """Checks lengths, uniqueness, topological order and leaves."""
        lengths = {len(self.node_ids), len(self.names), len(self.ranks), len(self.parents)}
        if len(lengths) != 1:
            raise TaxonomyError(f"node columns differ in length: {sorted(lengths)}")
        if len(set(self.node_ids)) != len(self.node_ids):
            raise TaxonomyError(f"node ids repeat: {_repeated(self.node_ids)[:5]}")
        for node, parents in enumerate(self.parents):
            if any(not 0 <= parent < node for parent in parents):
                raise TaxonomyError(f"{self.node_ids[node]!r} does not stand after its parents")
        if not self.leaf_nodes:
            raise TaxonomyError("a taxonomy needs at least one leaf")
        if len(set(self.leaf_nodes)) != len(self.leaf_nodes):
            repeated = [self.node_ids[node] for node in _repeated(self.leaf_nodes)[:5]]
            raise TaxonomyError(f"leaves repeat: {repeated}")
        if self.level_kind not in ("rank", "hops"):
            raise TaxonomyError(f"level_kind is 'rank' or 'hops', got {self.level_kind!r}")

    @classmethod
    def from_parents(
        cls,
        parents: Mapping[str, Sequence[str]],
        leaves: Sequence[str],
        *,
        names: Mapping[str, str] | None = None,
        ranks: Mapping[str, str] | None = None,
        levels: Sequence[str] = (),
        level_kind: str = "rank",
    ) -> Taxonomy:
        """Builds a taxonomy from each node's parents, in whatever order they are given.

        Args:
          parents: node id → ids of its parents (empty for a root). Parents that are no key of
            their own are roots.
          leaves: ids of the leaves, in label order.
          names: display names; the id where absent.
          ranks: ranks; empty where absent.
          levels: see the class.
          level_kind: see the class.

        Raises:
          TaxonomyError: on a cycle (which is named) or a leaf that is not a node.
        """
        order = topological_order(parents)
        index = {node: position for position, node in enumerate(order)}
        missing = [leaf for leaf in leaves if leaf not in index]
        if missing:
            raise TaxonomyError(
                f"{len(missing)} leaves are not in the graph, such as {missing[:5]}"
            )
        return cls(
            node_ids=tuple(order),
            names=tuple((names or {}).get(node, node) for node in order),
            ranks=tuple((ranks or {}).get(node, "") for node in order),
            parents=tuple(tuple(index[p] for p in parents.get(node, ())) for node in order),
            leaf_nodes=tuple(index[leaf] for leaf in leaves),
            levels=tuple(levels),
            level_kind=level_kind,
        )

    @property
    def num_leaves(self) -> int:
        """Number of leaves: the dataset's number of classes."""
        return len(self.leaf_nodes)

    @property
    def leaf_ids(self) -> tuple[str, ...]:
        """Node ids of the leaves, in label order."""
        return tuple(self.node_ids[node] for node in self.leaf_nodes)

    @functools.cached_property
    def label_of_leaf(self) -> Mapping[str, int]:
        """Leaf labels by leaf id, and by name where only one leaf has it."""
        by_id = {leaf: label for label, leaf in enumerate(self.leaf_ids)}
        names = [self.names[node] for node in self.leaf_nodes]
        counts = collections.Counter(names)
        by_name = {name: label for label, name in enumerate(names) if counts[name] == 1}
        return {**by_id, **{name: n for name, n in by_name.items() if name not in by_id}}

    @functools.cached_property
    def index(self) -> Mapping[str, int]:
        """Node id → node index."""
        return {node_id: position for position, node_id in enumerate(self.node_ids)}

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the graph, its ranks, levels and leaf order: 64 hexadecimal digits."""
        content = [self.node_ids, self.ranks, self.parents, self.leaf_nodes, self.levels]
        text = json.dumps([*content, self.level_kind], ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def ancestors_at(self, level: str) -> list[tuple[int, ...]]:
        """Nodes that label each leaf at a level.

        Args:
          level: one of `levels`.

        Returns:
          For each leaf a sorted tuple of node indices. By rank: every ancestor (the leaf
          itself included) of that rank. By hops: the ends of all upward paths of that many
          edges, where a shorter path ends at its last node.

        Raises:
          TaxonomyError: on an unknown level, or a leaf without an ancestor of that rank.
        """
        if level not in self.levels:
            raise TaxonomyError(f"unknown level {level!r}; this taxonomy has {list(self.levels)}")
        rows = self._rows_at(level)
        found = [rows[leaf] for leaf in self.leaf_nodes]
        bare = [self.node_ids[leaf] for leaf, nodes in zip(self.leaf_nodes, found) if not nodes]
        if bare:
            raise TaxonomyError(
                f"{len(bare)} leaves have no ancestor of rank {level!r}: {bare[:5]}"
            )
        return found

    def labels_of(self, node: int, level: str) -> tuple[int, ...]:
        """Nodes that label `node` (a leaf or not) at a level; empty where a rank has none.

        Raises:
          TaxonomyError: on an unknown level.
        """
        if level not in self.levels:
            raise TaxonomyError(f"unknown level {level!r}; this taxonomy has {list(self.levels)}")
        return self._rows_at(level)[node]

    @functools.cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Indices of each node's children, in node order."""
        below: list[list[int]] = [[] for _ in self.node_ids]
        for node, parents in enumerate(self.parents):
            for parent in parents:
                below[parent].append(node)
        return tuple(map(tuple, below))

    @functools.cached_property
    def edges(self) -> np.ndarray:
        """int32 [num_edges, 2]: (parent, child) pairs, sorted by child; parents come first."""
        pairs = [(up, node) for node, parents in enumerate(self.parents) for up in parents]
        return np.asarray(pairs, np.int32).reshape(-1, 2)

    def ancestors(self, node: int) -> tuple[int, ...]:
        """Sorted indices of every node above `node`, itself left out."""
        return _reachable(node, self.parents)

    def descendants(self, node: int) -> tuple[int, ...]:
        """Sorted indices of every node below `node`, itself left out."""
        return _reachable(node, self.children)

    def paths(self, node: int, *, max_paths: int = 1000) -> list[tuple[int, ...]]:
        """Every path from `node` up to a root, `node` first.

        Raises:
          TaxonomyError: where there are more than `max_paths`.
        """
        finished: list[tuple[int, ...]] = []
        pending = [(node,)]
        while pending:
            path = pending.pop()
            above = self.parents[path[-1]]
            if not above:
                finished.append(path)
            pending.extend((*path, parent) for parent in reversed(above))
            if len(finished) + len(pending) > max_paths:
                raise TaxonomyError(
                    f"{self.node_ids[node]!r} has more than {max_paths} paths to a root"
                )
        return finished

    @functools.cached_property
    def _row_cache(self) -> dict[str, list[tuple[int, ...]]]:
        return {}

    def _rows_at(self, level: str) -> list[tuple[int, ...]]:
        """For every node the sorted nodes that label it at a level; one sweep, parents first."""
        if level not in self._row_cache:
            if self.level_kind == "hops":
                rows = self._hop_rows(int(level))
            else:
                rows = self._rank_rows(level)
            self._row_cache[level] = rows
        return self._row_cache[level]

    def _hop_rows(self, num_hops: int) -> list[tuple[int, ...]]:
        """Where k hops from each node end: where k - 1 hops from its parents end, united."""
        if num_hops == 0:
            return [(node,) for node in range(len(self.node_ids))]
        above = self._rows_at(str(num_hops - 1))
        return [
            _united([above[parent] for parent in parents]) if parents else (node,)
            for node, parents in enumerate(self.parents)
        ]

    def _rank_rows(self, rank: str) -> list[tuple[int, ...]]:
        rows: list[tuple[int, ...]] = []
        for node, parents in enumerate(self.parents):
            inherited = _united([rows[parent] for parent in parents])
            rows.append((*inherited, node) if self.ranks[node] == rank else inherited)
        return rows

    def to_json(self) -> str:
        """The taxonomy as JSON text that `from_json` reads back, fingerprint and all."""
        return json.dumps(
            {field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Taxonomy:
        """Reads what `to_json` wrote."""
        content = json.loads(text)
        content["parents"] = tuple(tuple(parents) for parents in content["parents"])
        lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
        return cls(**{**content, **lists})


def topological_order(parents: Mapping[str, Sequence[str]]) -> list[str]:
    """Orders nodes so that parents come before children; ties keep the order given.

    Raises:
      TaxonomyError: on a cycle, which is spelled out.
    """
    order: list[str] = []
    state: dict[str, int] = {}  # 1: on the path being walked, 2: placed
    for start in parents:
        path = [start]
        while path:
            node = path[-1]
            if state.get(node) == 2:
                path.pop()
                continue
            state[node] = 1
            waiting = [p for p in parents.get(node, ()) if state.get(p) != 2]
            if not waiting:
                state[node] = 2
                order.append(path.pop())
            elif state.get(waiting[0]) == 1:
                cycle = [*path[path.index(waiting[0]) :], waiting[0]]
                raise TaxonomyError("the taxonomy has a cycle: " + " → ".join(cycle))
            else:
                path.append(waiting[0])
    return order


def _united(rows: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The sorted union of sorted tuples; the tuple itself where there is one."""
    if len(rows) == 1:
        return rows[0]
    return tuple(sorted(set().union(*rows)))


def _reachable(start: int, neighbours: Sequence[Sequence[int]]) -> tuple[int, ...]:
    seen, pending = {start}, [start]
    while pending:
        for node in neighbours[pending.pop()]:
            if node not in seen:
                seen.add(node)
                pending.append(node)
    return tuple(sorted(seen - {start}))


def table_from_tuples(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Packs rows of different lengths into int32 [rows, longest], padded with -1."""
    table = np.full((len(rows), max(map(len, rows), default=1)), -1, np.int32)
    for position, row in enumerate(rows):
        table[position, : len(row)] = row
    return table


def _repeated(values: Sequence) -> list:
    seen: set = set()
    return [value for value in values if value in seen or seen.add(value)]
