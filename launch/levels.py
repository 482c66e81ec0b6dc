"""Lists the levels of a taxonomy or of a folder of photographs, or shows one node.

fine2coarse levels --taxonomy=photos
fine2coarse levels --taxonomy=imagenet21k --node=n02084071
fine2coarse levels --taxonomy=inat2021 --categories=train_mini.json --format=json
fine2coarse levels --taxonomy=groceries.csv
fine2coarse levels --taxonomy=edges.csv --all_levels
fine2coarse levels --config=demo --data_dir=data
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from absl import flags

from fine2coarse.cli.card_flag import CONFIG
from fine2coarse.cli.named_dataset import DATASET, levels_of_named_dataset
from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import run_main
from fine2coarse.errors import UsageError
from fine2coarse.taxonomy.taxonomy_file import AUTO, FORMATS

if TYPE_CHECKING:
    from fine2coarse.taxonomy.taxonomy import Taxonomy

_TAXONOMY = define_path(
    "taxonomy",
    None,
    "A folder (or tar or zip) of photographs with a taxonomy.csv; a file, which is a table whose "
    "columns are levels, finest first, a list of edges (parent,child), Newick or JSON; "
    "imagenet21k, inat2021 or demo.",
)
_TAXONOMY_FORMAT = flags.DEFINE_enum(
    "taxonomy_format", AUTO, FORMATS, "How to read a file of --taxonomy; auto: by its content."
)
_SYNSETS = define_path(
    "synsets", "", "With imagenet21k: file of the leaves' synset ids; all 21,843 where absent."
)
_CATEGORIES = define_path(
    "categories", "", "With inat2021: one of its annotation files (.json), or a CSV of them."
)
_FORMAT = flags.DEFINE_enum("format", "table", ["table", "json"], "What to print.")
_ALL_LEVELS = flags.DEFINE_bool(
    "all_levels", False, "List the levels by hops from the leaf and by depth from the root too."
)
_NODE = flags.DEFINE_string("node", None, "Show this node: paths, parents, label at each level.")


def main() -> None:
    from fine2coarse.taxonomy.describe import (
        describe_node,
        images_table,
        levels_table,
        levels_with_images,
        node_text,
    )
    from fine2coarse.taxonomy.summary import summarize_level

    taxonomy, num_images, head, notes = _open()
    levels = (*taxonomy.levels, *(taxonomy.counted_levels() if _ALL_LEVELS.value else ()))
    as_json = _FORMAT.value == "json"
    if _NODE.value:
        node = describe_node(taxonomy, _NODE.value, levels)
        print(json.dumps(node, indent=1) if as_json else node_text(taxonomy, node))
    elif num_images is not None:
        records = levels_with_images(taxonomy, num_images, levels)
        text = "\n".join([head, images_table(records), *notes])
        print(json.dumps(records, indent=1) if as_json else text)
    else:
        summaries = [summarize_level(taxonomy, level) for level in levels]
        records = [dataclasses.asdict(summary) for summary in summaries]
        print(json.dumps(records, indent=1) if as_json else levels_table(taxonomy, summaries))


def _open() -> "tuple[Taxonomy, Mapping[int, int] | None, str, list[str]]":
    """Taxonomy; leaf label → images to train on, where they are known; a head line, and notes."""
    if CONFIG.value is not None or DATASET.value:
        if _TAXONOMY.value or _TAXONOMY_FORMAT.value != AUTO:
            raise UsageError("give --taxonomy, or --config or --dataset for prepared data")
        return levels_of_named_dataset()
    from fine2coarse.datasets.folder_survey import survey_notes
    from fine2coarse.datasets.named_taxonomy import open_named_taxonomy

    taxonomy, survey = open_named_taxonomy(
        _TAXONOMY.value, _SYNSETS.value, _CATEGORIES.value, _TAXONOMY_FORMAT.value
    )
    if survey is None:
        return taxonomy, None, "", []
    return taxonomy, survey.num_train_files, *survey_notes(survey)


if __name__ == "__main__":
    run_main(main)
