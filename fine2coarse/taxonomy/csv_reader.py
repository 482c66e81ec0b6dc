"""A taxonomy from a CSV file whose columns are the levels, finest first."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Sequence

from fine2coarse.taxonomy.taxonomy import Taxonomy, TaxonomyError
from fine2coarse.taxonomy.text_tables import normalized, read_rows

_log = logging.getLogger(__name__)

SEPARATOR = "/"
_NUM_NAMES_TOLD = 5


def read_csv(path: str | pathlib.Path) -> Taxonomy:
    """Reads a taxonomy from CSV, one row per leaf, e.g. `fine,coarse,macro`.

    The file may be as a spreadsheet saves it; see `text_tables.read_rows`. Node ids are
    path-qualified, root first (`Packages/Juice/Apple-Juice`), so equal names under different
    parents stay distinct. Leaves keep the order of the rows.

    An empty cell is a rank that a row lacks, as of a species without a genus: it is passed over
    (the species hangs below the family), and counted and named in the log. Where the finest cells
    are empty, the first that is not is the leaf. What such a leaf is labelled with at the level
    that it lacks, `Taxonomy.ancestors_at` says.

    Raises:
      TaxonomyError: naming the file and row: text that is not a table, cells that are missing
        altogether, a leaf with two parents, a leaf that repeats, or a name that stands both above
        and below another.
      FileNotFoundError: where there is no such file.
    """
    return from_bytes(pathlib.Path(path).read_bytes(), where=str(path))


def from_bytes(data: bytes, where: str) -> Taxonomy:
    """Reads a taxonomy from the bytes of a CSV, of a file or an archive's member.

    Args:
      data: the whole file.
      where: what an error calls it: its path, or the archive and the member's name.

    Raises:
      TaxonomyError: see `read_csv`.
    """
    return from_rows(read_rows(data, where), where=where)


def from_rows(rows: Sequence[Sequence[str]], where: str = "taxonomy") -> Taxonomy:
    """Builds a taxonomy from a header row (levels, finest first) and a row per leaf.

    Args:
      rows: the header and the rows, as `text_tables.read_rows` gives them; blank rows are
        skipped. Names are compared and kept as `text_tables.normalized` makes them.
      where: what an error calls the source.

    Raises:
      TaxonomyError: see `read_csv`.
    """
    numbered = [
        (number, [normalized(cell) for cell in row])
        for number, row in enumerate(rows, start=1)
        if any(normalized(cell) for cell in row)
    ]
    if len(numbered) < 2:
        raise TaxonomyError(f"{where}: expected a header of level names and at least one row")
    header_number, levels = numbered[0]
    if len(set(levels)) != len(levels) or not all(levels):
        raise TaxonomyError(
            f"{where}: row {header_number}: level names must be distinct and not empty: {levels}"
        )
    leaf_rows = numbered[1:]
    _check_rows(leaf_rows, levels, where)
    is_ragged = _tell_empty_cells(leaf_rows, levels, where)

    parents: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    ranks: dict[str, str] = {}
    leaves: list[str] = []
    for number, cells in leaf_rows:
        above = ""
        for rank, name in zip(reversed(levels), reversed(cells)):
            if not name:
                continue
            node = f"{above}{SEPARATOR}{name}" if above else name
            if ranks.get(node, rank) != rank:
                raise TaxonomyError(
                    f"{where}: row {number}: {name!r} is a {rank} here and a {ranks[node]} in "
                    "another row; fill the empty cells between, or rename one"
                )
            parents.setdefault(node, (above,) if above else ())
            names[node], ranks[node] = name, rank
            above = node
        leaves.append(above)
    taxonomy = Taxonomy.from_parents(parents, leaves, names=names, ranks=ranks, levels=levels)
    return taxonomy.with_kind_of_ranks() if is_ragged else taxonomy


def _tell_empty_cells(
    rows: Sequence[tuple[int, Sequence[str]]], levels: Sequence[str], where: str
) -> bool:
    """Whether there are any; the log counts and names them.

    Raises:
      TaxonomyError: where a level has no name at all.
    """
    lacking = {
        level: [next(filter(None, cells)) for _, cells in rows if not cells[position]]
        for position, level in enumerate(levels)
    }
    for level, names in lacking.items():
        if len(names) == len(rows):
            raise TaxonomyError(f"{where}: the column {level!r} is empty; delete it")
        if names:
            told = ", ".join(map(repr, names[:_NUM_NAMES_TOLD]))
            more = len(names) - _NUM_NAMES_TOLD
            _log.warning(
                "%s: %d of %d rows have no %s: %s%s; at that level each has the class below it, or "
                "itself",
                where, len(names), len(rows), level, told, f" and {more} more" if more > 0 else "",
            )  # fmt: skip
    return any(lacking.values())


def _check_rows(rows: list[tuple[int, list[str]]], levels: list[str], where: str) -> None:
    first_row: dict[str, tuple[int, list[str]]] = {}
    above: dict[str, set[str]] = {}
    for number, cells in rows:
        if len(cells) != len(levels):
            raise TaxonomyError(
                f"{where}: row {number}: expected {len(levels)} names ({', '.join(levels)}), "
                f"got {cells}; of a rank that is missing keep the empty cell, and put a name that "
                "holds a delimiter in double quotes"
            )
        if any(SEPARATOR in cell for cell in cells):
            raise TaxonomyError(f"{where}: row {number}: {SEPARATOR!r} may not stand in a name")
        leaf = next(filter(None, cells))
        if leaf in first_row:
            other_number, other = first_row[leaf]
            problem = (
                "repeats" if other == cells else f"has two parents, {other[1:]} and {cells[1:]}"
            )
            form = "" if leaf.isascii() else "; names that differ only in Unicode form are one"
            raise TaxonomyError(
                f"{where}: row {number}: {levels[cells.index(leaf)]} {leaf!r} {problem} "
                f"(first in row {other_number}); keep one of the two rows{form}"
            )
        first_row[leaf] = (number, cells)
        filled = [cell for cell in cells if cell]
        for position, cell in enumerate(filled):
            above.setdefault(cell, set()).update(filled[position + 1 :])
            for upper in filled[position + 1 :]:
                if upper != cell and cell in above.get(upper, ()):
                    raise TaxonomyError(
                        f"{where}: row {number}: a cycle: {cell!r} stands below {upper!r} here and "
                        f"above it in an earlier row"
                    )
