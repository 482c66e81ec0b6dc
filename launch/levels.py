"""Lists the levels of a taxonomy, or shows one node of it.

python launch/levels.py --taxonomy=imagenet21k
python launch/levels.py --taxonomy=imagenet21k --node=n02084071
python launch/levels.py --taxonomy=inat2021 --categories=train_mini.json --format=json
python launch/levels.py --taxonomy=groceries.csv
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from absl import app, flags

from fine2coarse.cli import startup  # noqa: F401 (output must not fail in any locale)
from fine2coarse.cli.path_flags import define_path, fail, parse_flags
from fine2coarse.taxonomy import Taxonomy, TaxonomyError, read_csv, read_inat2021, read_wordnet
from fine2coarse.taxonomy.summary import LevelSummary, summarize_level
from fine2coarse.taxonomy.wordnet import read_synset_list

_TAXONOMY = define_path(
    "taxonomy", None, "imagenet21k, inat2021, or a CSV whose columns are levels, finest first."
)
_SYNSETS = define_path(
    "synsets", None, "With imagenet21k: file of the leaves' synset ids; all 21,843 where absent."
)
_CATEGORIES = define_path(
    "categories", None, "With inat2021: one of its annotation files (.json), or a CSV of them."
)
_FORMAT = flags.DEFINE_enum("format", "table", ["table", "json"], "What to print.")
_NODE = flags.DEFINE_string("node", None, "Show this node: paths, parents, label at each level.")

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


def _read_taxonomy() -> Taxonomy:
    source = _TAXONOMY.value
    if source is None:
        raise app.UsageError("--taxonomy is imagenet21k, inat2021 or FILE.csv; none was given")
    if _SYNSETS.value and source != "imagenet21k":
        raise app.UsageError("--synsets goes with --taxonomy=imagenet21k")
    if _CATEGORIES.value and source != "inat2021":
        raise app.UsageError("--categories goes with --taxonomy=inat2021")
    if source == "imagenet21k":
        return read_wordnet(read_synset_list(_SYNSETS.value) if _SYNSETS.value else None)
    if source == "inat2021":
        if not _CATEGORIES.value:
            raise app.UsageError(
                "--taxonomy=inat2021 needs --categories=FILE: train.json, train_mini.json or "
                "val.json from the competition's archives, or a CSV of its categories"
            )
        return read_inat2021(_CATEGORIES.value)
    if not source.endswith(".csv"):
        raise app.UsageError(f"--taxonomy is imagenet21k, inat2021 or FILE.csv; got {source!r}")
    return read_csv(source)


def _format_table(summaries: Sequence[LevelSummary]) -> str:
    rows = [list(_HEADINGS.values())]
    rows += [
        [
            f"{value:g}" if isinstance(value, float) else f"{value}"
            for value in dataclasses.astuple(summary)
        ]
        for summary in summaries
    ]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if position == 0 else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(row, widths))
        )
        for row in rows
    )


def _describe_node(taxonomy: Taxonomy, node_id: str) -> dict:
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
            for level in taxonomy.levels
        },
    }


def _format_node(taxonomy: Taxonomy, node: dict) -> str:
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


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    as_json = _FORMAT.value == "json"
    try:
        taxonomy = _read_taxonomy()
        if _NODE.value:
            node = _describe_node(taxonomy, _NODE.value)
            print(json.dumps(node, indent=1) if as_json else _format_node(taxonomy, node))
            return
        summaries = [summarize_level(taxonomy, level) for level in taxonomy.levels]
    except (TaxonomyError, OSError) as error:
        fail(str(error))
    if as_json:
        print(json.dumps([dataclasses.asdict(summary) for summary in summaries], indent=1))
        return
    print(f"{taxonomy.num_leaves} leaves, {len(taxonomy.node_ids)} nodes; class sizes in leaves")
    print(_format_table(summaries))


def run() -> None:
    """Runs the program."""
    app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
    run()
