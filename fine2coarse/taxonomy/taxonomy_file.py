"""A taxonomy from a file, in whichever format people exchange it; told by its content.

A table of levels (`csv_reader`), an edge list (`edge_list`), Newick (`newick`) or JSON
(`json_tree`). How a file was read that could be read in two ways is said in the log.
"""

from __future__ import annotations

import logging
import pathlib
import re
from collections.abc import Sequence

from fine2coarse.errors import UsageError
from fine2coarse.nearest import unknown
from fine2coarse.taxonomy import edge_list
from fine2coarse.taxonomy.csv_reader import from_rows
from fine2coarse.taxonomy.edge_list import CHILD_PARENT, PARENT_CHILD, NumberedRow
from fine2coarse.taxonomy.json_tree import read_json_tree
from fine2coarse.taxonomy.newick import read_newick
from fine2coarse.taxonomy.taxonomy import Taxonomy, TaxonomyError
from fine2coarse.taxonomy.text_tables import (
    TableError,
    normalized,
    parse_json,
    read_lines,
    read_rows,
    read_text,
)

_log = logging.getLogger(__name__)

AUTO, LEVELS, EDGES, NEWICK, JSON = "auto", "levels", "edges", "newick", "json"
FORMATS = (AUTO, LEVELS, EDGES, PARENT_CHILD, CHILD_PARENT, NEWICK, JSON)
"""How a file may be asked to be read; `edges` finds out which column is the parent's."""

_TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
_NEWICK_SUFFIXES = (".nwk", ".newick", ".tree", ".tre")
SUFFIXES = (*_TABLE_SUFFIXES, *_NEWICK_SUFFIXES, ".json")
"""How the name of a taxonomy file ends."""

_OTHERWISE = "if that is wrong, give --taxonomy_format={}"
_NUM_NAMES_TOLD = 3


def read_taxonomy_file(
    path: str | pathlib.Path, taxonomy_format: str = AUTO, *, is_headed: bool = False
) -> Taxonomy:
    """Reads a taxonomy in any of the formats.

    Args:
      path: of the file; its name ends as one of `SUFFIXES`, or its content tells.
      taxonomy_format: one of `FORMATS`.
      is_headed: see `from_bytes`.

    Raises:
      UsageError: where there is no such format.
      TaxonomyError: where the file holds no taxonomy.
      OSError: where it cannot be read.
    """
    path = pathlib.Path(path)
    check_format(taxonomy_format)
    return from_bytes(path.read_bytes(), str(path), taxonomy_format, is_headed=is_headed)


def check_format(taxonomy_format: str) -> None:
    """Raises UsageError where there is no such format."""
    if taxonomy_format not in FORMATS:
        raise UsageError(unknown("taxonomy_format", taxonomy_format, FORMATS))


def from_bytes(
    data: bytes, where: str, taxonomy_format: str = AUTO, *, is_headed: bool = False
) -> Taxonomy:
    """Reads a taxonomy from the bytes of a file or of an archive's member.

    Args:
      data: the whole file.
      where: what errors call it; how it ends tells the format where the content leaves it open.
      taxonomy_format: one of `FORMATS`.
      is_headed: whether a table always has a header, as the taxonomy.csv of a folder has: then it
        holds edges only where the header says so.

    Raises:
      TaxonomyError: where it holds no taxonomy.
    """
    if taxonomy_format == AUTO:
        taxonomy_format = _told_format(data, where)
    if taxonomy_format == JSON:
        graph, form = read_json_tree(parse_json(data, where), where)
        return graph.to_taxonomy(where, f"read as {form}")
    if taxonomy_format == NEWICK:
        return read_newick(read_text(data, where), where).to_taxonomy(where, "read as Newick")
    if taxonomy_format == LEVELS:
        return from_rows(read_rows(data, where), where)
    # In one column of names, "blue whale" and "whale shark" are no edges.
    is_csv = pathlib.PurePath(where).suffix.lower() in (".csv", ".tsv")
    rows = _table(data, where, needs_header=is_csv and taxonomy_format == AUTO)
    if not rows:
        raise TaxonomyError(f"{where}: nothing is in it; expected a hierarchy of classes")
    if taxonomy_format == AUTO and not _is_edge_list(rows, where, is_headed):
        return _levels(data, where, rows, is_headed)
    order = taxonomy_format if taxonomy_format in (PARENT_CHILD, CHILD_PARENT) else ""
    columns = edge_list.find_columns(rows, where, order)
    how = f"read as edges ({columns.why})"
    if taxonomy_format == AUTO and edge_list.named_columns(rows[0][1]) is None:
        how += f"; {_OTHERWISE.format(LEVELS)}"
    return edge_list.read_edges(rows, where, columns).to_taxonomy(where, how)


def _told_format(data: bytes, where: str) -> str:
    """JSON or Newick where the content or the name tells; else `AUTO`: some table."""
    suffix = pathlib.PurePath(where).suffix.lower()
    if suffix == ".json":
        return JSON
    if suffix in _NEWICK_SUFFIXES:
        if data.lstrip()[:6].upper() == b"#NEXUS":
            raise TaxonomyError(f"{where}: is NEXUS; write the tree alone, as Newick")
        return NEWICK
    start, end = data[:1000].lstrip(b"\xef\xbb\xbf \t\r\n"), data[-1000:].rstrip()
    if start.startswith(b"{") or re.match(rb"\[\s*[\[{\"]", start):
        return JSON
    if start.startswith((b"(", b"[")) and end.endswith(b";"):
        return NEWICK
    return AUTO


def _table(data: bytes, where: str, *, needs_header: bool) -> list[NumberedRow]:
    """The rows of a table that are not blank, with their numbers.

    Where no other sign is in the file, blanks part the names of two columns; where that
    `needs_header`, only if the first row names parent and child. Rows that begin with # are
    comments where the first one does.
    """
    lines = read_lines(data, where)
    filled = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    comments = bool(filled) and filled[0][1].startswith("#")
    filled = [row for row in filled if not (comments and row[1].startswith("#"))]
    if filled and not any(sign in line for _, line in filled for sign in ',;\t"'):
        split = [(number, line.split()) for number, line in filled]
        is_edges = not needs_header or edge_list.named_columns(split[0][1]) is not None
        if is_edges and all(len(cells) == 2 for _, cells in split):
            return [(number, [normalized(cell) for cell in cells]) for number, cells in split]
    rows = read_rows(data, where, comments=comments)
    return [(number, cells) for number, cells in enumerate(rows, start=1) if cells]


def _is_edge_list(rows: Sequence[NumberedRow], where: str, is_headed: bool) -> bool:
    """Whether a table holds edges rather than levels.

    A header that names a parent and a child decides. Else of two columns: where the first row is
    no header, for what it holds recurs, or where names of one column recur in the other.
    """
    named = edge_list.named_columns(rows[0][1])
    if len(rows[0][1]) != 2:
        return named is not None and (
            edge_list.says_edges(rows[0][1], named) or edge_list.is_chain(rows[1:], named)
        )
    if named is not None or is_headed:
        return named is not None
    again = edge_list.recurring(rows)
    if edge_list.header_recurs(rows):
        return True
    pairs = {tuple(cells) for _, cells in rows}
    if any(pair[::-1] in pairs for pair in pairs if pair[0] != pair[-1]):
        return False  # as edges they would be a cycle
    inner = {cells[1] for _, cells in rows[1:] if len(cells) == 2}
    leaves = [cells[0] for _, cells in rows[1:]]
    if again and len(set(leaves)) == len(leaves) and 2 * len(again) < len(inner):
        _log.warning(
            "%s: read as a table of levels, though %d names stand in both columns, such as %s; %s",
            where, len(again), sorted(again)[:_NUM_NAMES_TOLD], _OTHERWISE.format(EDGES),
        )  # fmt: skip
        return False
    return bool(again)


def _levels(data: bytes, where: str, rows: Sequence[NumberedRow], is_headed: bool) -> Taxonomy:
    try:
        return from_rows(read_rows(data, where), where)
    except TableError:
        raise
    except TaxonomyError as error:
        if len(rows[0][1]) != 2:
            raise
        asked = "" if is_headed else f", or give --taxonomy_format={EDGES}"
        raise TaxonomyError(
            f"{error}; it was read as a table of levels, finest first: of edges begin the file "
            f"with a row parent,child (or child,parent){asked}"
        ) from error
