"""A taxonomy level as a label space."""

from __future__ import annotations

from collections.abc import Sequence

from fine2coarse.labels.space import LabelSpace
from fine2coarse.labels.tree import check_rule, depths, tree_parents
from fine2coarse.taxonomy.taxonomy import Taxonomy, table_from_tuples


def level(taxonomy: Taxonomy, level_name: str, rule: str = "") -> LabelSpace:
    """The classes of one taxonomy level.

    Args:
      taxonomy: whose leaves the dataset is labelled with.
      level_name: one of its levels, or `hops:K` or `depth:K`: see `Taxonomy.ancestors_at`.
      rule: which class a leaf keeps where the graph gives it several. Empty: all of them, so the
        space is multi-label. 'first': the one met first on a walk up that takes parents in the
        order the taxonomy names them. 'deepest': the one farthest from the root, the first of
        equals.

    Raises:
      TaxonomyError: on an unknown level.
      LabelSpaceError: on an unknown rule.
    """
    nodes_of_leaf: Sequence[Sequence[int]] = taxonomy.ancestors_at(level_name)
    if rule:
        nodes_of_leaf = _one_each(taxonomy, level_name, nodes_of_leaf, rule)
    return from_nodes(
        taxonomy,
        nodes_of_leaf,
        name=f"{level_name}-{rule}" if rule else level_name,
        source={"kind": "level", "level": level_name, "rule": rule},
    )


def from_nodes(
    taxonomy: Taxonomy, nodes_of_leaf: Sequence[Sequence[int]], *, name: str, source: dict
) -> LabelSpace:
    """The label space in which leaf i has the classes `nodes_of_leaf[i]` (node indices).

    Classes stand in the taxonomy's order, which puts parents before children.
    """
    nodes = sorted({node for nodes in nodes_of_leaf for node in nodes})
    class_of_node = {node: position for position, node in enumerate(nodes)}
    return LabelSpace(
        class_ids=tuple(taxonomy.node_ids[node] for node in nodes),
        class_names=tuple(taxonomy.names[node] for node in nodes),
        table=table_from_tuples([[class_of_node[n] for n in nodes] for nodes in nodes_of_leaf]),
        name=name,
        dataset_fingerprint=taxonomy.fingerprint,
        source=source,
    )


def _one_each(
    taxonomy: Taxonomy, level_name: str, nodes_of_leaf: Sequence[Sequence[int]], rule: str
) -> list[tuple[int]]:
    check_rule(rule)
    if rule == "deepest":
        depth = depths(taxonomy)
        return [(max(nodes, key=lambda node: depth[node]),) for nodes in nodes_of_leaf]
    parent = tree_parents(taxonomy, "first")
    num_hops = taxonomy.num_hops(level_name)
    if num_hops is not None:
        return [(_climb(parent, leaf, num_hops),) for leaf in taxonomy.leaf_nodes]
    return [
        nodes if len(nodes) == 1 else (_first_met(taxonomy, leaf, set(nodes)),)
        for leaf, nodes in zip(taxonomy.leaf_nodes, nodes_of_leaf)
    ]


def _climb(parent, node: int, num_hops: int) -> int:
    for _ in range(num_hops):
        if parent[node] < 0:
            break
        node = int(parent[node])
    return node


def _first_met(taxonomy: Taxonomy, leaf: int, wanted: set[int]) -> int:
    pending, seen = [leaf], set()
    while pending[-1] not in wanted:
        node = pending.pop()
        if node not in seen:
            seen.add(node)
            pending.extend(reversed(taxonomy.parents[node]))
    return pending[-1]
