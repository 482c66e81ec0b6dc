"""A taxonomy of one's own: a CSV file whose columns are the levels, finest first."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Sequence

from fine2coarse.taxonomy.taxonomy import Taxonomy, TaxonomyError

SEPARATOR = "/"


def read_csv(path: str | pathlib.Path) -> Taxonomy:
    """Reads a taxonomy from CSV, one row per leaf, e.g. `fine,coarse,macro`.

    Node ids are path-qualified, root first (`Packages/Juice/Apple-Juice`), so equal names under
    different parents stay apart. Leaves keep the order of the rows.

    Raises:
      TaxonomyError: naming the file and row of an empty cell, a leaf with two parents, a leaf
        that repeats, or a name that stands both above and below another.
      FileNotFoundError: where there is no such file.
    """
    path = pathlib.Path(path)
    with path.open(newline="", encoding="utf-8-sig") as file:
        return from_rows(list(csv.reader(file)), where=str(path))


def from_rows(rows: Sequence[Sequence[str]], where: str = "taxonomy") -> Taxonomy:
    """Builds a taxonomy from a header row (levels, finest first) and a row per leaf.

    Args:
      rows: the header and the rows, as `csv.reader` gives them; blank rows are passed over.
      where: what an error calls the source.

    Raises:
      TaxonomyError: see `read_csv`.
    """
    numbered = [
        (number, [cell.strip() for cell in row])
        for number, row in enumerate(rows, start=1)
        if any(cell.strip() for cell in row)
    ]
    if len(numbered) < 2:
        raise TaxonomyError(f"{where}: expected a header of level names and at least one row")
    levels = numbered[0][1]
    if len(set(levels)) != len(levels) or not all(levels):
        raise TaxonomyError(f"{where}: row 1: level names must be distinct and not empty: {levels}")
    leaf_rows = numbered[1:]
    _check_rows(leaf_rows, levels, where)

    parents: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    ranks: dict[str, str] = {}
    leaves: list[str] = []
    for _, cells in leaf_rows:
        above = ""
        for rank, name in zip(reversed(levels), reversed(cells)):
            node = f"{above}{SEPARATOR}{name}" if above else name
            parents.setdefault(node, (above,) if above else ())
            names[node], ranks[node] = name, rank
            above = node
        leaves.append(above)
    return Taxonomy.from_parents(parents, leaves, names=names, ranks=ranks, levels=levels)


def _check_rows(rows: list[tuple[int, list[str]]], levels: list[str], where: str) -> None:
    first_row: dict[str, tuple[int, list[str]]] = {}
    above: dict[str, set[str]] = {}
    for number, cells in rows:
        if len(cells) != len(levels) or not all(cells):
            raise TaxonomyError(
                f"{where}: row {number}: expected {len(levels)} names ({', '.join(levels)}), "
                f"got {cells}"
            )
        if any(SEPARATOR in cell for cell in cells):
            raise TaxonomyError(f"{where}: row {number}: {SEPARATOR!r} may not stand in a name")
        leaf = cells[0]
        if leaf in first_row:
            other_number, other = first_row[leaf]
            problem = (
                "repeats" if other == cells else f"has two parents, {other[1:]} and {cells[1:]}"
            )
            raise TaxonomyError(
                f"{where}: row {number}: {levels[0]} {leaf!r} {problem} "
                f"(first in row {other_number})"
            )
        first_row[leaf] = (number, cells)
        for position, cell in enumerate(cells):
            above.setdefault(cell, set()).update(cells[position + 1 :])
            for upper in cells[position + 1 :]:
                if upper != cell and cell in above.get(upper, ()):
                    raise TaxonomyError(
                        f"{where}: row {number}: a cycle: {cell!r} stands below {upper!r} here and "
                        f"above it in an earlier row"
                    )
