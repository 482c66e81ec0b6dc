"""Taxonomies: class hierarchies as topologically ordered graphs, and their readers.

In: WordNet, iNaturalist's categories, a table of levels, an edge list, Newick, JSON. Out: a
`Taxonomy`: nodes, ranks, parents, leaves. Start with `taxonomy.py`; `taxonomy_file.py` reads files.
"""

from fine2coarse.taxonomy.csv_reader import read_csv
from fine2coarse.taxonomy.inat2021 import read_inat2021
from fine2coarse.taxonomy.match import match_leaves
from fine2coarse.taxonomy.taxonomy import Taxonomy, TaxonomyError
from fine2coarse.taxonomy.taxonomy_file import read_taxonomy_file
from fine2coarse.taxonomy.wordnet import read_wordnet

__all__ = [
    "Taxonomy",
    "TaxonomyError",
    "match_leaves",
    "read_csv",
    "read_inat2021",
    "read_taxonomy_file",
    "read_wordnet",
]
