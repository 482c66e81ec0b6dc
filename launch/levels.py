"""Lists the levels of a taxonomy, or shows one node of it.

fine2coarse levels --taxonomy=imagenet21k
fine2coarse levels --taxonomy=imagenet21k --node=n02084071
fine2coarse levels --taxonomy=inat2021 --categories=train_mini.json --format=json
fine2coarse levels --taxonomy=groceries.csv
"""

import dataclasses
import json

from absl import flags

from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import run_main

_TAXONOMY = define_path(
    "taxonomy", None, "imagenet21k, inat2021, or a CSV whose columns are levels, finest first."
)
_SYNSETS = define_path(
    "synsets", "", "With imagenet21k: file of the leaves' synset ids; all 21,843 where absent."
)
_CATEGORIES = define_path(
    "categories", "", "With inat2021: one of its annotation files (.json), or a CSV of them."
)
_FORMAT = flags.DEFINE_enum("format", "table", ["table", "json"], "What to print.")
_NODE = flags.DEFINE_string("node", None, "Show this node: paths, parents, label at each level.")


def main() -> None:
    from fine2coarse.taxonomy.describe import describe_node, levels_table, node_text
    from fine2coarse.taxonomy.open import open_taxonomy
    from fine2coarse.taxonomy.summary import summarize_level

    taxonomy = open_taxonomy(_TAXONOMY.value, _SYNSETS.value, _CATEGORIES.value)
    as_json = _FORMAT.value == "json"
    if _NODE.value:
        node = describe_node(taxonomy, _NODE.value)
        print(json.dumps(node, indent=1) if as_json else node_text(taxonomy, node))
        return
    summaries = [summarize_level(taxonomy, level) for level in taxonomy.levels]
    if as_json:
        print(json.dumps([dataclasses.asdict(summary) for summary in summaries], indent=1))
    else:
        print(levels_table(taxonomy, summaries))


if __name__ == "__main__":
    run_main(main)
