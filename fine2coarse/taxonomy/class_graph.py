"""Classes and their parents as a file of an exchange format names them, made a taxonomy."""

from __future__ import annotations

import collections
import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence

from fine2coarse.taxonomy.level_names import MOST_NAMED_HOPS
from fine2coarse.taxonomy.taxonomy import Taxonomy, TaxonomyError, topological_order
from fine2coarse.taxonomy.wordnet import is_synset_id, synset_names

_log = logging.getLogger(__name__)

SEPARATOR = "/"
NO_PARENT = frozenset({"", "none", "null", "nil", "nan", "na", "n/a", "-", "--", "-1"})
"""What stands, in any case, in place of a parent where there is none."""
_ROOT_NAMES = frozenset({"root", "<root>", "_root_", "__root__", "[root]"})
_NUM_NAMES_TOLD = 3


@dataclasses.dataclass(frozen=True)
class TreeNode:
    """A node of a file that nests.

    Attributes:
      name: as the file has it; empty where it has none.
      parent: position of the parent in the list of nodes, which stands before; -1 of a top node.
      rank: its rank; empty where the file has none.
      node_id: an id beside the name; nodes of one id are one node. Empty where there is none.
    """

    name: str
    parent: int
    rank: str = ""
    node_id: str = ""


@dataclasses.dataclass
class ClassGraph:
    """A graph of classes as a file has it.

    Attributes:
      parents: id of each class, in the file's order → ids of its parents, none twice.
      names: names of the classes that have one beside the id.
      ranks: ranks of the classes that have one.
      unnamed: ids made for inner nodes that have no name.
      notes: what the log should say about how the file was read.
    """

    parents: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    names: dict[str, str] = dataclasses.field(default_factory=dict)
    ranks: dict[str, str] = dataclasses.field(default_factory=dict)
    unnamed: set[str] = dataclasses.field(default_factory=set)
    notes: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def of_edges(cls, edges: Iterable[tuple[str, str]]) -> ClassGraph:
        """A graph of (parent, child) pairs; a parent that is none, or the child, makes a root."""
        graph = cls()
        parents = graph.parents
        num_again = 0
        for parent, child in edges:
            if parent == child or parent.lower() in NO_PARENT:
                parents.setdefault(child, [])
                continue
            parents.setdefault(parent, [])
            above = parents.setdefault(child, [])
            if parent in above:
                num_again += 1
            else:
                above.append(parent)
        if num_again:
            graph.notes.append(f"{num_again} edges stand there again")
        return graph

    @classmethod
    def of_tree(cls, nodes: Sequence[TreeNode], where: str) -> ClassGraph:
        """A graph of nested nodes; a name that repeats is qualified by the path to it.

        Raises:
          TaxonomyError: where a name stands twice below one parent.
        """
        graph = cls()
        ids = _ids_of(nodes, where)
        for node, node_id in zip(nodes, ids):
            above = graph.parents.setdefault(node_id, [])
            if node.parent >= 0 and ids[node.parent] not in above:
                above.append(ids[node.parent])
            if not (node.name or node.node_id):
                graph.unnamed.add(node_id)
            elif node.name and node.name != node_id:
                graph.names[node_id] = node.name
            if node.rank:
                graph.ranks[node_id] = node.rank
        return graph

    def to_taxonomy(self, where: str, how: str) -> Taxonomy:
        """The taxonomy; its leaves are the classes without children, in the file's order.

        Levels are ranks where the file has ranks, else edges climbed from the leaf. A root that
        only joins all others, as it is called `root` or has no name, is no class.

        Args:
          where: what errors and the log call the file.
          how: how it was read, for the log.

        Raises:
          TaxonomyError: on a cycle, or where there is no edge.
        """
        self._drop_joining_root()
        self.unnamed &= set(self.parents)
        inner = {parent for above in self.parents.values() for parent in above}
        leaves = [node for node in self.parents if node not in inner]
        if not inner:
            raise TaxonomyError(
                f"{where}: {how}: no class stands above another; expected a hierarchy"
            )
        try:
            order = topological_order(self.parents)
        except TaxonomyError as error:
            raise TaxonomyError(f"{where}: {how}: {error}") from error
        names = {**self._names(), **self._names_of_unnamed(order)}
        levels = _levels_of_ranks(order, self.parents, self.ranks)
        if self.ranks and not levels:
            self.notes.append("its ranks contradict each other and make no levels")
        taxonomy = Taxonomy.from_parents(
            {node: self.parents[node] for node in order},
            leaves,
            names=names,
            ranks=self.ranks,
            levels=levels,
            level_kind="rank" if levels else "hops",
        )
        taxonomy = taxonomy.with_kind_of_ranks() if levels else _with_hops(taxonomy)
        self._tell(where, how, leaves)
        return taxonomy

    def _drop_joining_root(self) -> None:
        roots = [node for node, above in self.parents.items() if not above]
        if len(roots) != 1 or len(self.parents) == 1:
            return
        (root,) = roots
        if self.names.get(root, root).lower() not in _ROOT_NAMES and root not in self.unnamed:
            return
        rest = [above for node, above in self.parents.items() if node != root]
        if not any(up != root for above in rest for up in above):
            return  # all are its children: without it there would be no hierarchy
        del self.parents[root]
        self.names.pop(root, None)
        for above in rest:
            if root in above:
                above.remove(root)
        told = "the root without a name" if root in self.unnamed else f"{root!r}"
        self.notes.append(f"{told} joins the others and is no class")

    def _names(self) -> dict[str, str]:
        """Names beside the ids; WordNet's where ids are synset ids and have no other."""
        bare = [node for node in self.parents if node not in self.names and is_synset_id(node)]
        return {**synset_names(bare), **self.names} if bare else self.names

    def _names_of_unnamed(self, order: Sequence[str]) -> dict[str, str]:
        """`first … last` of the leaves below, for nodes without a name."""
        if not self.unnamed:
            return {}
        ends: dict[str, tuple[str, str]] = {}
        position = {node: index for index, node in enumerate(self.parents)}
        for node in reversed(order):
            first, last = ends.setdefault(node, (node, node))
            for parent in self.parents[node]:
                known = ends.get(parent, (first, last))
                ends[parent] = (
                    min(known[0], first, key=position.__getitem__),
                    max(known[1], last, key=position.__getitem__),
                )
        return {
            node: " … ".join(self.names.get(leaf, leaf) for leaf in ends[node])
            for node in self.unnamed
        }

    def _tell(self, where: str, how: str, leaves: Sequence[str]) -> None:
        several = [node for node, above in self.parents.items() if len(above) > 1]
        roots = sum(not above for above in self.parents.values())
        told = [
            f"{where}: {how}: {len(self.parents)} classes, {len(leaves)} of them leaves, "
            f"{roots} without a parent"
        ]
        if several:
            told.append(f"{len(several)} with several parents, such as {_some(several)}")
        _log.info("%s", "; ".join([*told, *self.notes]))


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_NUM_NAMES_TOLD]))


def _with_hops(taxonomy: Taxonomy) -> Taxonomy:
    named = min(taxonomy.max_hops, MOST_NAMED_HOPS)
    return dataclasses.replace(taxonomy, levels=tuple(str(hops) for hops in range(named + 1)))


def _levels_of_ranks(
    order: Sequence[str], parents: Mapping[str, Sequence[str]], ranks: Mapping[str, str]
) -> list[str]:
    """Ranks, finest first; those that stand above themselves ('clade') make no level.

    Empty where there are none, or one stands both above and below another.
    """
    nearest: dict[str, set[str]] = {}  # the ranks next above each class, itself included
    coarser: dict[str, set[str]] = {}
    for node in order:
        above = set().union(*(nearest[parent] for parent in parents[node])) if ranks else set()
        rank = ranks.get(node, "")
        if rank:
            coarser.setdefault(rank, set()).update(above)
        nearest[node] = {rank} if rank else above
    again = {rank for rank, above in coarser.items() if rank in above}
    finer: dict[str, list[str]] = {rank: [] for rank in coarser if rank not in again}
    for rank, above in coarser.items():
        for upper in above - again:
            if rank not in again:
                finer[upper].append(rank)
    try:
        return topological_order(finer)
    except TaxonomyError:
        return []


def _ids_of(nodes: Sequence[TreeNode], where: str) -> list[str]:
    """Unique ids: their own, else the name where it is unique, else the path of names to it."""
    given = [node.node_id or node.name for node in nodes]
    counts = collections.Counter(
        name for node, name in zip(nodes, given) if not node.node_id
    ) + collections.Counter({node.node_id for node in nodes if node.node_id})
    taken = {name for name, count in counts.items() if count == 1 and name}
    ids: list[str] = []
    seen: set[str] = set()
    num_unnamed = 0
    for node, name in zip(nodes, given):
        if node.node_id or (counts[name] == 1 and name):
            ids.append(name)
            continue
        if not name:
            num_unnamed += 1
            while f"inner:{num_unnamed}" in taken:
                num_unnamed += 1
            ids.append(f"inner:{num_unnamed}")
            continue
        path = _path(nodes, node)
        if path in seen or path in taken:
            above = path.rpartition(SEPARATOR)[0] or "the top"
            raise TaxonomyError(f"{where}: {name!r} stands twice below {above!r}; rename one")
        seen.add(path)
        ids.append(path)
    return ids


def _path(nodes: Sequence[TreeNode], node: TreeNode) -> str:
    names = [node.name]
    while node.parent >= 0:
        node = nodes[node.parent]
        if node.name:
            names.append(node.name)
    return SEPARATOR.join(reversed(names))
