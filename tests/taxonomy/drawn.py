"""A graph small enough to draw, and the same graph in each format that is read.

animal ─┬─ mammal ─┬─ dog ───── poodle
        │          └─ cat                 plant ── rose
        └─ bird ──── wren
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from fine2coarse.taxonomy import Taxonomy

Parents = Mapping[str, Sequence[str]]

DRAWN: Parents = {
    "animal": (), "mammal": ("animal",), "dog": ("mammal",), "poodle": ("dog",),
    "cat": ("mammal",), "bird": ("animal",), "wren": ("bird",), "plant": (), "rose": ("plant",),
}  # fmt: skip
LEAVES = ["poodle", "cat", "wren", "rose"]


def edges(parents: Parents) -> Iterator[tuple[str, str]]:
    return ((up, node) for node, above in parents.items() for up in above)


def as_edge_list(
    parents: Parents, sep: str = ",", header: str = "parent,child", root: str | None = None
) -> str:
    """Lines of a parent and a child; the other way round where the header begins with child.

    `root` stands as the parent of those that have none: '' or 'root'; 'self' is the class itself.
    """
    pairs = list(edges(parents))
    if root is not None:
        tops = [node for node, above in parents.items() if not above]
        pairs += [(node if root == "self" else root, node) for node in tops]
    if header.startswith("child"):
        pairs = [(child, parent) for parent, child in pairs]
    lines = [header.replace(",", sep)] if header.strip("-") else []
    return "".join(f"{line}\n" for line in [*lines, *map(sep.join, pairs)])


def as_newick(parents: Parents) -> str:
    """Of a forest, joined by a root without a name."""
    children = _children(parents)

    def text(node: str) -> str:
        inner = ",".join(map(text, children[node]))
        name = "'" + node.replace("'", "''") + "'"
        return f"({inner}){name}:1.5" if inner else name

    return f"({','.join(text(node) for node in children[''])});"


def as_nested_nodes(parents: Parents) -> str:
    children = _children(parents)

    def node(name: str) -> dict:
        below = children[name]
        return {"name": name, **({"children": list(map(node, below))} if below else {})}

    return json.dumps([node(top) for top in children[""]])


def as_nested_names(parents: Parents) -> str:
    children = _children(parents)

    def below(name: str) -> dict:
        return {child: below(child) for child in children[name]}

    return json.dumps(below(""))


def as_children(parents: Parents) -> str:
    """Lists of children; classes without any are left out, but for a root."""
    children = _children(parents)
    found = {name: children[name] for name in parents if children[name]}
    return json.dumps(found | {top: children[top] for top in children[""]})


def as_parents(parents: Parents) -> str:
    return json.dumps({node: above[0] if above else None for node, above in parents.items()})


def as_records(parents: Parents) -> str:
    return json.dumps([{"id": node, "parent": list(above)} for node, above in parents.items()])


def _children(parents: Parents) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {node: [] for node in ("", *parents)}
    for node, above in parents.items():
        for up in above or ("",):
            children[up].append(node)
    return children


def ancestors_of(taxonomy: Taxonomy) -> dict[str, set[str]]:
    """Leaf → all that stands above it."""
    ids = taxonomy.node_ids
    return {ids[n]: {ids[up] for up in taxonomy.ancestors(n)} for n in taxonomy.leaf_nodes}


def expected(parents: Parents) -> dict[str, set[str]]:
    """The same, found by walking up from each class that stands above no other."""
    inner = {up for up, _ in edges(parents)}
    found = {}
    for node in parents:
        if node not in inner:
            above: set[str] = set()
            pending = list(parents[node])
            while pending:
                up = pending.pop()
                above.add(up)
                pending.extend(parents[up])
            found[node] = above
    return found


def at(taxonomy: Taxonomy, level: str) -> list[set[str]]:
    """Names of the classes of each leaf at a level."""
    return [{taxonomy.names[node] for node in nodes} for nodes in taxonomy.ancestors_at(level)]
