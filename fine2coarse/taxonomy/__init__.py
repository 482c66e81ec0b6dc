"""Taxonomies: class hierarchies as topologically ordered graphs, and their readers."""

from fine2coarse.taxonomy.csv_reader import read_csv
from fine2coarse.taxonomy.taxonomy import Taxonomy, TaxonomyError

__all__ = ["Taxonomy", "TaxonomyError", "read_csv"]
