"""Taxonomies: class hierarchies as topologically ordered graphs, and their readers.

In: WordNet, iNaturalist's categories, a CSV. Out: a `Taxonomy`: nodes, ranks, parents,
leaves. Start with `taxonomy.py`.
"""

from fine2coarse.taxonomy.csv_reader import read_csv
from fine2coarse.taxonomy.inat2021 import read_inat2021
from fine2coarse.taxonomy.taxonomy import Taxonomy, TaxonomyError
from fine2coarse.taxonomy.wordnet import read_wordnet

__all__ = ["Taxonomy", "TaxonomyError", "read_csv", "read_inat2021", "read_wordnet"]
