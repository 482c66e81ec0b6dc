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
from fine2coarse.taxonomy import level_names

_KINDS = ("rank", "ragged", "hops")


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
        Beside them every taxonomy has `hops:K` and `depth:K`; see `ancestors_at`.
      level_kind: 'rank', 'hops', or 'ragged': ranks of which some leaves lack some.
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
            if parents and not 0 <= min(parents) <= max(parents) < node:
                raise TaxonomyError(f"{self.node_ids[node]!r} does not stand after its parents")
        if not self.leaf_nodes:
            raise TaxonomyError("a taxonomy needs at least one leaf")
        if len(set(self.leaf_nodes)) != len(self.leaf_nodes):
            repeated = [self.node_ids[node] for node in _repeated(self.leaf_nodes)[:5]]
            raise TaxonomyError(f"leaves repeat: {repeated}")
        if self.level_kind not in _KINDS:
            raise TaxonomyError(f"level_kind is one of {_KINDS}, got {self.level_kind!r}")

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
          level: one of `levels`, `hops:K` with K up to `max_hops`, or `depth:K` with K up to
            `max_depth`.

        Returns:
          For each leaf a sorted tuple of node indices.

          - By rank: every ancestor (the leaf itself included) of that rank. In a ragged taxonomy
            a leaf that lacks the rank has the last node below that rank on its way up; where there
            is none, itself.
          - By hops: the ends of all upward paths of that many edges, where a shorter path ends at
            its last node.
          - By depth: every ancestor (itself included) that is so many edges below a root, counted
            along the shortest path; a leaf that lies no deeper has itself.

        Raises:
          TaxonomyError: on an unknown level, or a leaf without an ancestor of that rank.
        """
        self.check_level(level)
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
        self.check_level(level)
        return self._rows_at(level)[node]

    def check_level(self, level: str) -> None:
        """Raises TaxonomyError where `ancestors_at` knows no such level, naming those it knows."""
        if level in self.levels:
            return
        counted = level_names.counted(level)
        most = {level_names.HOPS: self.max_hops, level_names.DEPTH: self.max_depth}
        if counted is None or counted[1] > most[counted[0]]:
            has = level_names.told(self.levels, self.max_hops, self.max_depth)
            raise TaxonomyError(f"unknown level {level!r}; this taxonomy has {has}")

    def num_hops(self, level: str) -> int | None:
        """Edges that a level by hops climbs ('2' of WordNet, `hops:2` of any); None of others."""
        kind, value = self._kind_of(level)
        return int(value) if kind == level_names.HOPS else None

    def counted_levels(self) -> tuple[str, ...]:
        """Levels by hops where `levels` are not, then by depth; finest first, 101 of each at most.

        Of a deeper taxonomy these are the fewest hops and the least depths.
        """
        most = level_names.MOST_NAMED_HOPS
        hops = [] if self.level_kind == "hops" else range(min(self.max_hops, most) + 1)
        depths = range(min(self.max_depth, most), -1, -1)
        return (
            *(f"{level_names.HOPS}:{number}" for number in hops),
            *(f"{level_names.DEPTH}:{number}" for number in depths),
        )

    @functools.cached_property
    def max_hops(self) -> int:
        """Edges on the longest way from a leaf up to a root."""
        longest: list[int] = []
        for parents in self.parents:
            longest.append(1 + max(longest[parent] for parent in parents) if parents else 0)
        return max(longest[leaf] for leaf in self.leaf_nodes)

    @functools.cached_property
    def depths(self) -> np.ndarray:
        """int64 [nodes]: edges on the shortest way from each node up to a root."""
        depth: list[int] = []
        for parents in self.parents:
            depth.append(1 + min(depth[parent] for parent in parents) if parents else 0)
        return np.asarray(depth, np.int64)

    @property
    def max_depth(self) -> int:
        """Depth of the deepest leaf, along its shortest way up."""
        return int(self.depths[list(self.leaf_nodes)].max())

    def with_leaves(self, leaf_nodes: Sequence[int]) -> Taxonomy:
        """The part of the taxonomy at and above some of its nodes, which become the leaves.

        Args:
          leaf_nodes: node indices, in the order of the labels; any nodes.

        Returns:
          A taxonomy whose nodes keep ids, names and ranks. Ranks that no node has any more are no
          levels of it.
        """
        kept = set(leaf_nodes)
        for node in range(len(self.parents) - 1, -1, -1):
            if node in kept:
                kept.update(self.parents[node])
        nodes = sorted(kept)
        position = {node: new for new, node in enumerate(nodes)}
        ranks = tuple(self.ranks[node] for node in nodes)
        by_hops = self.level_kind == "hops"
        left = set(ranks)
        part = dataclasses.replace(
            self,
            node_ids=tuple(self.node_ids[node] for node in nodes),
            names=tuple(self.names[node] for node in nodes),
            ranks=ranks,
            parents=tuple(tuple(position[up] for up in self.parents[node]) for node in nodes),
            leaf_nodes=tuple(position[node] for node in leaf_nodes),
            levels=self.levels if by_hops else tuple(rank for rank in self.levels if rank in left),
        )
        if by_hops:
            return dataclasses.replace(part, levels=self.levels[: part.max_hops + 1])
        return part.with_kind_of_ranks()

    def with_kind_of_ranks(self) -> Taxonomy:
        """The same by ranks: 'ragged' where a leaf lacks one, else 'rank'."""
        above = [self._rank_rows(rank) for rank in self.levels]
        complete = all(rows[leaf] for rows in above for leaf in self.leaf_nodes)
        return dataclasses.replace(self, level_kind="rank" if complete else "ragged")

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
    def _row_cache(self) -> dict[tuple[str, int | str], list[tuple[int, ...]]]:
        return {}

    def _kind_of(self, level: str) -> tuple[str, int | str]:
        """What a level counts ('hops', 'depth', or the kind of its ranks), and how many or which.

        Its own names come first: a rank may be called `depth:1`.
        """
        if level in self.levels:
            by_hops = self.level_kind == "hops"
            return (level_names.HOPS, int(level)) if by_hops else (self.level_kind, level)
        return level_names.counted(level) or (self.level_kind, level)

    def _rows_at(self, level: str) -> list[tuple[int, ...]]:
        """For every node the sorted nodes that label it at a level; one sweep, parents first."""
        key = self._kind_of(level)
        if key not in self._row_cache:
            kind, value = key
            if kind == level_names.HOPS:
                rows = self._hop_rows(int(value))
            elif kind == level_names.DEPTH:
                rows = self._depth_rows(int(value))
            elif kind == "ragged":
                rows = self._ragged_rows(str(value))
            else:
                rows = self._rank_rows(str(value))
            self._row_cache[key] = rows
        return self._row_cache[key]

    def _hop_rows(self, num_hops: int) -> list[tuple[int, ...]]:
        """Where k hops from each node end: where k - 1 hops from its parents end, united."""
        if all(len(parents) < 2 for parents in self.parents):
            return self._climbed(num_hops)
        done = (
            hops for hops in range(num_hops, 0, -1) if (level_names.HOPS, hops) in self._row_cache
        )
        start = next(done, 0)
        rows = (
            self._row_cache[level_names.HOPS, start]
            if start
            else [(node,) for node in range(len(self.node_ids))]
        )
        for _ in range(start, num_hops):
            rows = [
                _united([rows[parent] for parent in parents]) if parents else (node,)
                for node, parents in enumerate(self.parents)
            ]
        return rows

    def _climbed(self, num_hops: int) -> list[tuple[int, ...]]:
        """`_hop_rows` of a tree: jumps of 1, 2, 4, … edges, those that the number has as bits."""
        jump = np.asarray(
            [parents[0] if parents else node for node, parents in enumerate(self.parents)], np.int64
        )
        ends = np.arange(len(jump))
        while num_hops:
            if num_hops & 1:
                ends = jump[ends]
            num_hops >>= 1
            if num_hops:
                jump = jump[jump]
        return [(end,) for end in ends.tolist()]

    def _depth_rows(self, depth: int) -> list[tuple[int, ...]]:
        above: list[tuple[int, ...]] = []
        rows: list[tuple[int, ...]] = []
        for node, (own, parents) in enumerate(zip(self.depths.tolist(), self.parents)):
            inherited = _united([above[parent] for parent in parents])
            above.append((*inherited, node) if own == depth else inherited)
            rows.append((node,) if own <= depth else above[-1])
        return rows

    def _rank_rows(self, rank: str) -> list[tuple[int, ...]]:
        rows: list[tuple[int, ...]] = []
        for node, parents in enumerate(self.parents):
            inherited = _united([rows[parent] for parent in parents])
            rows.append((*inherited, node) if self.ranks[node] == rank else inherited)
        return rows

    def _ragged_rows(self, rank: str) -> list[tuple[int, ...]]:
        """As `_rank_rows`; without the rank the last nodes below it; of a leaf else itself."""
        finer = set(self.levels[: self.levels.index(rank)])
        leaves = set(self.leaf_nodes)
        rows = self._rank_rows(rank)
        below: list[tuple[int, ...]] = []
        for node, parents in enumerate(self.parents):
            last = _united([below[parent] for parent in parents])
            below.append(last or ((node,) if self.ranks[node] in finer else ()))
            rows[node] = rows[node] or below[node] or ((node,) if node in leaves else ())
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
