"""Opening a taxonomy by name: ImageNet-21k's, iNaturalist's, or a file."""

from __future__ import annotations

import pathlib

from fine2coarse.errors import UsageError
from fine2coarse.taxonomy.inat2021 import read_inat2021
from fine2coarse.taxonomy.taxonomy import Taxonomy
from fine2coarse.taxonomy.taxonomy_file import AUTO, SUFFIXES, check_format, read_taxonomy_file
from fine2coarse.taxonomy.wordnet import read_synset_list, read_wordnet

TAXONOMIES = ("imagenet21k", "inat2021")
"""Those that have a name."""
_EXPECTED = (
    "a folder (or tar or zip) with a taxonomy.csv, FILE.csv, imagenet21k, inat2021 or demo; a FILE "
    f"may end with {', '.join(SUFFIXES)}"
)


def open_taxonomy(
    name: str | None, synsets: str = "", categories: str = "", taxonomy_format: str = AUTO
) -> Taxonomy:
    """Opens a taxonomy.

    Args:
      name: 'imagenet21k', 'inat2021' or the path of a file that `read_taxonomy_file` reads: a
        table whose columns are levels, finest first, an edge list, Newick or JSON.
      synsets: with 'imagenet21k': file of the leaves' synset ids; all 21,843 where empty.
      categories: with 'inat2021': one of its annotation files, or a CSV of its categories.
      taxonomy_format: of a file, where its content does not tell: see `taxonomy_file.FORMATS`.

    Raises:
      UsageError: where a name or file is missing or goes with another taxonomy.
      TaxonomyError: where a file holds no taxonomy.
      OSError: where a file cannot be read.
    """
    if name is None:
        raise UsageError(f"--taxonomy is {_EXPECTED}; none was given")
    if synsets and name != "imagenet21k":
        raise UsageError("--synsets goes with --taxonomy=imagenet21k")
    if categories and name != "inat2021":
        raise UsageError("--categories goes with --taxonomy=inat2021")
    check_format(taxonomy_format)
    if taxonomy_format != AUTO and name in TAXONOMIES:
        raise UsageError(f"--taxonomy_format goes with a file; got --taxonomy={name}")
    if name == "imagenet21k":
        return read_wordnet(read_synset_list(synsets) if synsets else None)
    if name == "inat2021":
        if not categories:
            raise UsageError(
                "--taxonomy=inat2021 needs --categories=FILE: train.json, train_mini.json or "
                "val.json from the competition's archives, or a CSV of its categories"
            )
        return read_inat2021(categories)
    if not name.lower().endswith(SUFFIXES) and not pathlib.Path(name).is_file():
        hint = ""
        if name in ("folder", "tfds"):
            hint = (
                f"; of the dataset {name!r}, once it is prepared: "
                f"--config=CARD --data_dir=FOLDER, without --taxonomy"
            )
        raise UsageError(f"--taxonomy={name}: nothing is there; expected {_EXPECTED}{hint}")
    return read_taxonomy_file(name, taxonomy_format)
