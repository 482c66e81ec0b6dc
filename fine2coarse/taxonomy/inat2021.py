"""The taxonomy of iNaturalist 2021: eight levels, of which one follows no single rank."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

from fine2coarse.taxonomy.taxonomy import Taxonomy, TaxonomyError
from fine2coarse.taxonomy.text_tables import character_problem, normalized, parse_json, read_records

SEPARATOR = "/"
LINNAEAN_RANKS = ("kingdom", "phylum", "class", "order", "family", "genus")
SUPERCATEGORY = "supercategory"
LEVELS = ("species", "genus", "family", "order", "class", "phylum", SUPERCATEGORY, "kingdom")
# What a category has beside its id.
FIELDS = (*LINNAEAN_RANKS, "name", SUPERCATEGORY)
# Classes of each level in the competition's own categories.
LEVEL_SIZES = dict(zip(LEVELS, (10_000, 4900, 1103, 273, 51, 13, 11, 3)))


def read_inat2021(path: str | pathlib.Path) -> Taxonomy:
    """Reads the categories of iNaturalist 2021, leaves in the order of their category ids.

    Node ids are path-qualified (`Animalia/Chordata/Aves/...`), so that the genera which share a
    name across families stay apart. A supercategory (`supercategory:Birds`) is a second parent
    of each of its species, for it follows no single rank.

    Args:
      path: one of the competition's JSON files (`train.json`, `val.json`, ...), its list of
        categories alone, or a CSV with the same columns.

    Raises:
      TaxonomyError: naming the file that is neither JSON nor a table, or a category that lacks a
        rank, repeats an id, or whose name does.
      FileNotFoundError: where there is no such file.
    """
    path = pathlib.Path(path)
    where, data = str(path), path.read_bytes()
    if path.suffix.lower() == ".csv":
        categories = [record for _, record in read_records(data, where, ("id", *FIELDS))]
    else:
        content = parse_json(data, where)
        categories = content.get("categories", []) if isinstance(content, dict) else content
    return from_categories(categories, where)


def from_categories(categories: Sequence[Mapping], where: str = "categories") -> Taxonomy:
    """Builds the taxonomy from the competition's records; see `read_inat2021`."""
    parents: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    ranks: dict[str, str] = {}
    leaves: list[str] = []
    for category in in_order(categories, where):
        *linnaean, group = _names_of(category, where)
        supercategory = f"{SUPERCATEGORY}:{group}"
        parents[supercategory] = ()
        names[supercategory], ranks[supercategory] = group, SUPERCATEGORY
        above = ""
        for rank, name in zip((*LINNAEAN_RANKS, "species"), linnaean):
            node = f"{above}{SEPARATOR}{name}" if above else name
            parents.setdefault(node, (above,) if above else ())
            names[node], ranks[node] = name, rank
            above = node
        if len(parents[above]) > 1:
            raise TaxonomyError(f"{where}: category {category['id']}: {above!r} stands there twice")
        parents[above] = (*parents[above], supercategory)
        leaves.append(above)
    return Taxonomy.from_parents(parents, leaves, names=names, ranks=ranks, levels=LEVELS)


def in_order(categories: Sequence[Mapping], where: str = "categories") -> list[Mapping]:
    """The records by their category id: the position of one here is its leaf label.

    Raises:
      TaxonomyError: where there are none; naming an id that is not a number, or repeats.
    """
    if not isinstance(categories, list | tuple) or not categories:
        raise TaxonomyError(
            f"{where}: no categories in it; expected a list of records with the fields id, "
            f"{', '.join(FIELDS)}"
        )
    by_id: dict[int, Mapping] = {}
    for category in categories:
        try:
            category_id = int(category["id"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise TaxonomyError(
                f"{where}: a category without a numeric id: {str(category)[:200]}"
            ) from error
        if category_id in by_id:
            raise TaxonomyError(f"{where}: category id {category_id} repeats")
        by_id[category_id] = category
    return [by_id[category_id] for category_id in sorted(by_id)]


def _names_of(category: Mapping, where: str) -> list[str]:
    """The category's names in the order of `FIELDS`."""
    names = []
    for field in FIELDS:
        given = category.get(field)
        name = normalized(given) if isinstance(given, str) else ""
        if not name or SEPARATOR in name or character_problem(name):
            raise TaxonomyError(
                f"{where}: category {category['id']}: expected a {field} without "
                f"{SEPARATOR!r} and control characters, got {given!r}"
            )
        names.append(name)
    return names
