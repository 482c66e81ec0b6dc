"""A taxonomy's levels, or one of its nodes, described for the terminal."""

from __future__ import annotations

import collections
import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from fine2coarse import terminal
from fine2coarse.taxonomy.summary import LevelSummary, summarize_level
from fine2coarse.taxonomy.taxonomy import Taxonomy, TaxonomyError

_HEADINGS = {
    "level": "level",
    "num_classes": "classes",
    "num_names": "names",
    "multi_label_leaves": "leaves with several labels",
    "max_labels": "most labels",
    "smallest_class": "smallest",
    "median_class": "median",
    "largest_class": "largest class",
}


def levels_table(taxonomy: Taxonomy, summaries: Sequence[LevelSummary]) -> str:
    """Classes and their sizes, level by level."""
    cells = [
        [
            f"{value:g}" if isinstance(value, float) else f"{value}"
            for value in dataclasses.astuple(summary)
        ]
        for summary in summaries
    ]
    head = f"{taxonomy.num_leaves} leaves, {len(taxonomy.node_ids)} nodes; class sizes in leaves"
    return f"{head}\n{terminal.table(list(_HEADINGS.values()), cells)}"


def levels_with_images(
    taxonomy: Taxonomy, num_images: Mapping[int, int], levels: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Each level as `summarize_level` has it, and how many images its classes hold; JSON-able.

    Args:
      taxonomy: the hierarchy.
      num_images: leaf label → images; a leaf that is left out has none.
      levels: those to describe; all that the taxonomy names where None.
    """
    records = []
    for level in taxonomy.levels if levels is None else levels:
        sizes: collections.Counter[int] = collections.Counter()
        for label, nodes in enumerate(taxonomy.ancestors_at(level)):
            for node in nodes:
                sizes[node] += num_images.get(label, 0)
        counts = {
            "fewest_images": min(sizes.values()),
            "median_images": statistics.median(sizes.values()),
            "most_images": max(sizes.values()),
        }
        records.append({**dataclasses.asdict(summarize_level(taxonomy, level)), **counts})
    return records


def images_table(records: Sequence[Mapping[str, Any]]) -> str:
    """What `levels_with_images` found, for people to read."""
    keys = ("level", "num_classes", "fewest_images", "median_images", "most_images")
    headings = ["level", "classes", "smallest", "median", "largest class"]
    cells = [
        [f"{value:g}" if isinstance(value, float) else f"{value}" for value in row]
        for row in ([record[key] for key in keys] for record in records)
    ]
    return terminal.table(headings, cells)


def describe_node(
    taxonomy: Taxonomy, node_id: str, levels: Sequence[str] | None = None
) -> dict[str, Any]:
    """What a node is and where it lies; JSON-able.

    Args:
      taxonomy: the hierarchy.
      node_id: which node.
      levels: those to tell its labels at; all that the taxonomy names where None.

    Raises:
      TaxonomyError: where the taxonomy has no such node.
    """
    if node_id not in taxonomy.index:
        raise TaxonomyError(
            f"no node {node_id!r} in this taxonomy; its ids look like {taxonomy.leaf_ids[0]!r}"
        )
    node = taxonomy.index[node_id]
    ids = taxonomy.node_ids
    return {
        "node": node_id,
        "name": taxonomy.names[node],
        "rank": taxonomy.ranks[node],
        "is_leaf": node in taxonomy.leaf_nodes,
        "parents": [ids[parent] for parent in taxonomy.parents[node]],
        "num_children": len(taxonomy.children[node]),
        "num_descendants": len(taxonomy.descendants(node)),
        "paths": [[ids[step] for step in path] for path in taxonomy.paths(node)],
        "labels": {
            level: [ids[label] for label in taxonomy.labels_of(node, level)]
            for level in (taxonomy.levels if levels is None else levels)
        },
    }


def node_text(taxonomy: Taxonomy, node: Mapping[str, Any]) -> str:
    """What `describe_node` found, for people to read."""

    def named(node_id: str) -> str:
        name = taxonomy.names[taxonomy.index[node_id]]
        return node_id if name == node_id else f"{node_id} ({name})"

    kind = "a leaf" if node["is_leaf"] else "no leaf"
    lines = [f"{named(node['node'])}  {node['rank']}".rstrip()]
    lines.append(f"{kind}; {node['num_children']} children, {node['num_descendants']} descendants")
    lines.append("parents: " + (", ".join(map(named, node["parents"])) or "none, a root"))
    for path in node["paths"]:
        lines.append("path: " + " → ".join(map(named, path)))
    for level, labels in node["labels"].items():
        lines.append(f"level {level}: " + (", ".join(map(named, labels)) or "none"))
    return "\n".join(lines)
