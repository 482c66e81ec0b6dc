"""Edge lists: a row for each edge, or for each class with its parent; trees and DAGs.

Two columns, `parent,child` or `child,parent`, with or without a header; or a table of classes
whose header names an id and a parent, with a name and a rank where it has them. What a file
without a header leaves open is decided by structure or refused; see `read_edges`.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterator, Sequence

from fine2coarse.taxonomy.class_graph import NO_PARENT, ClassGraph
from fine2coarse.taxonomy.taxonomy import TaxonomyError

NumberedRow = tuple[int, Sequence[str]]

PARENT_CHILD, CHILD_PARENT = "parent_child", "child_parent"

# What stands around `parent` or `child` in the name of a column, without blanks and signs.
_PARTS = ("id", "name", "node", "class", "key", "label", "wnid", "synset", "taxid", "taxonid")
_PARENT = frozenset(
    ("parent", "parents", "parentnameusageid", "parentnameusage")
    + tuple(f"parent{part}" for part in _PARTS)
)
_CHILD = frozenset(
    ("child", "children", "hyponym", "subclass") + tuple(f"child{part}" for part in _PARTS)
)
# Words that name a parent only where the other column is a child, or names recur.
_PERHAPS_PARENT = frozenset(("hypernym", "superclass", "broader"))
# The id of a class, the more telling words first.
_ID = (
    "taxonid", "taxid", "wnid", "synset", "synsetid", "nodeid", "node", "classid", "id", "key",
    "code", "class", "label", "term", "scientificname", "name",
)  # fmt: skip
_NAME = ("name", "scientificname", "canonicalname", "displayname", "title", "words", "label")
_RANK = ("rank", "taxonrank", "taxonomicrank")
_MARKS = NO_PARENT | {"root"}
_ID_DIGITS = 4
_ENOUGH = 3  # how many times more children than parents have several, to tell a graph's direction


@dataclasses.dataclass(frozen=True)
class EdgeColumns:
    """Which columns of a table are what.

    Attributes:
      parent: position of the parents' column.
      child: position of the classes' column.
      has_header: whether the first row names the columns.
      why: how that is known, for the log.
      name: position of display names; -1 where there are none.
      rank: position of ranks; -1 where there are none.
    """

    parent: int
    child: int
    has_header: bool
    why: str
    name: int = -1
    rank: int = -1


def read_edges(rows: Sequence[NumberedRow], where: str, columns: EdgeColumns) -> ClassGraph:
    """The graph of a table of edges.

    A parent that is empty, `none` or the class itself makes the class a root.

    Args:
      rows: number in the file and cells of each row, the header included.
      where: what errors call the file.
      columns: which columns to read, as `find_columns` gives them.

    Raises:
      TaxonomyError: naming a row without a class, or of another width.
    """
    width = len(rows[0][1])
    body = rows[1:] if columns.has_header else rows
    if not body:
        raise TaxonomyError(f"{where}: no edges below its header {list(rows[0][1])}")
    for number, cells in body:
        if len(cells) != width or not cells[columns.child]:
            raise TaxonomyError(
                f"{where}: row {number}: expected {width} cells with a class in the "
                f"{_ORDINALS[columns.child]}, got {list(cells)}"
            )
    graph = ClassGraph.of_edges((cells[columns.parent], cells[columns.child]) for _, cells in body)
    for _, cells in body:
        if columns.name >= 0 and cells[columns.name]:
            graph.names[cells[columns.child]] = cells[columns.name]
        if columns.rank >= 0 and cells[columns.rank]:
            graph.ranks[cells[columns.child]] = cells[columns.rank]
    return graph


def named_columns(header: Sequence[str]) -> EdgeColumns | None:
    """The columns that a header names beyond doubt, as `parent,child` does; None of another."""
    words = [_word(cell) for cell in header]
    parents = [n for n, word in enumerate(words) if word in _PARENT]
    children = [n for n, word in enumerate(words) if word in _CHILD]
    if not parents and children:
        parents = [n for n, word in enumerate(words) if word in _PERHAPS_PARENT]
    if not children:
        known = [word for word in _ID if word in words]
        children = [words.index(word) for word in known[:1]]
    if len(parents) != 1 or len(children) != 1:
        return None
    (parent,), (child,) = parents, children
    taken = {parent, child}
    name = next((words.index(word) for word in _NAME if word in words), -1)
    rank = next((words.index(word) for word in _RANK if word in words), -1)
    return EdgeColumns(
        parent,
        child,
        has_header=True,
        why=f"{header[parent]!r} and {header[child]!r} head its columns",
        name=-1 if name in taken else name,
        rank=-1 if rank in taken else rank,
    )


def says_edges(header: Sequence[str], columns: EdgeColumns) -> bool:
    """Whether a header of three columns or more says parent and child, and of no grandparent."""
    words = [_word(cell) for cell in header]
    others = [word for n, word in enumerate(words) if n not in (columns.parent, columns.child)]
    both = words[columns.parent] in _PARENT and words[columns.child] in _CHILD
    return both and not any("parent" in word or "ancestor" in word for word in others)


def is_chain(rows: Sequence[NumberedRow], columns: EdgeColumns) -> bool:
    """Whether a parent of one row is the class of another, as in edges it is of most."""
    classes = {cells[columns.child] for _, cells in rows if len(cells) > columns.child}
    return any(
        cells[columns.parent] in classes and cells[columns.parent] != cells[columns.child]
        for _, cells in rows
        if len(cells) > max(columns.parent, columns.child)
    )


def recurring(rows: Sequence[NumberedRow]) -> set[str]:
    """Names that stand in both of two columns, each time beside another name."""
    first, second = (
        {cells[side] for _, cells in rows if len(cells) == 2 and cells[0] != cells[1]}
        for side in (0, 1)
    )
    return (first & second) - {""}


def header_recurs(rows: Sequence[NumberedRow]) -> bool:
    """Whether the first row is no header: a name of it stands in others, or one made as it is."""
    (_, header), *body = rows
    if any(set(header) & set(cells) - {""} for _, cells in body):
        return True
    return bool(body) and any(map(_is_another, header, body[0][1]))


def find_columns(rows: Sequence[NumberedRow], where: str, order: str = "") -> EdgeColumns:
    """Which column is the parent's, and whether there is a header.

    A header that names `parent` and `child` (or the like) decides. Without one a column is the
    child's where each of its names stands beside one name of the other column, as in a tree each
    child has one parent; in a graph where far fewer of its names stand beside several. Else a
    mark such as an empty cell, `none` or `root` tells the parent's column.

    Args:
      rows: number in the file and cells of each row.
      where: what an error calls the file.
      order: `PARENT_CHILD` or `CHILD_PARENT` where it is known; else empty.

    Raises:
      TaxonomyError: where it cannot be told, or there are not two columns.
    """
    width = len(rows[0][1])
    named = named_columns(rows[0][1])
    if width != 2:
        if named is None or order:
            raise TaxonomyError(
                f"{where}: expected edges in two columns, or columns named as in id,parent; got "
                f"{width}: {list(rows[0][1])}"
            )
        return named
    if named and not order:
        return named
    has_header = named is not None or not header_recurs(rows)
    body = rows[1:] if has_header else rows
    head = f", below the header {list(rows[0][1])}" if has_header else ""
    if order:
        parent, why = (0 if order == PARENT_CHILD else 1), "as asked for"
    else:
        parent, why = _parent_column(body, where)
    return EdgeColumns(parent, 1 - parent, has_header, why + head)


def _parent_column(rows: Sequence[NumberedRow], where: str) -> tuple[int, str]:
    """The position of the parents' column, and how it is told."""
    pairs = list(_pairs(rows))
    beside = [collections.defaultdict(set), collections.defaultdict(set)]
    for first, second in pairs:
        beside[0][first].add(second)
        beside[1][second].add(first)
    several = [sum(len(others) > 1 for others in side.values()) for side in beside]
    shares = [count / max(1, len(side)) for count, side in zip(several, beside)]
    for child in (1, 0):
        ours, others = several[child], several[1 - child]
        if not ours and others:
            told = f"each name of the {_ORDINALS[child]} column has one beside it"
            return 1 - child, f"{_SIDES[1 - child]}: {told}"
        if ours and shares[child] * _ENOUGH <= shares[1 - child]:
            told = f"{ours} of {len(beside[child])} names of the {_ORDINALS[child]} column"
            return 1 - child, f"{_SIDES[1 - child]}: only {told} have several beside them"
    if not recurring(rows) and not any(several):
        raise TaxonomyError(
            f"{where}: no name stands in two rows, as where ids have names; expected a hierarchy"
        )
    marked = [
        {cells[side].lower() for _, cells in rows if len(cells) == 2} & _MARKS for side in (0, 1)
    ]
    for parent in (0, 1):
        if marked[parent] and not marked[1 - parent]:
            told = f"{min(marked[parent])!r} stands in the {_ORDINALS[parent]} column alone"
            return parent, f"{_SIDES[parent]}: {told}"
    raise TaxonomyError(
        f"{where}: reads as edges, but which column is the parent's cannot be told from them: "
        "begin the file with a row parent,child (or child,parent), or give "
        f"--taxonomy_format={PARENT_CHILD} (or {CHILD_PARENT})"
    )


def _pairs(rows: Sequence[NumberedRow]) -> Iterator[tuple[str, str]]:
    """The two names of each row, without rows that make a root."""
    for _, cells in rows:
        if len(cells) == 2 and cells[0] != cells[1]:
            first, second = cells
            if first.lower() not in NO_PARENT and second.lower() not in NO_PARENT:
                yield first, second


def _word(cell: str) -> str:
    return re.sub(r"[\W_]+", "", cell.casefold())


def _is_another(one: str, other: str) -> bool:
    """Whether both are ids of one kind: digits alone, or as n01440764 and n02084071 are."""
    if one.isdigit() and other.isdigit():
        return True
    shapes = [re.sub(r"\d", "0", cell) for cell in (one, other)]
    return shapes[0] == shapes[1] and shapes[0].count("0") >= _ID_DIGITS


_SIDES = ("parent,child", "child,parent")
_ORDINALS = ("first", "second", "third", *(f"{n}th" for n in range(4, 100)))
