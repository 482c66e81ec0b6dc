"""Newick, the trees of phylogenetics: `((cat,lion)felids:3,dog)carnivores;`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fine2coarse.taxonomy.class_graph import ClassGraph, TreeNode
from fine2coarse.taxonomy.taxonomy import TaxonomyError
from fine2coarse.taxonomy.text_tables import normalized

_TOKEN = re.compile(
    r"""(?P<blank>\s+)
      | \[ (?P<comment> (?:[^\[\]]|\[[^\[\]]*\])*+ ) \]
      | '(?P<quoted> (?:[^']|'')*+ )'
      | :\s*+ (?P<length> [^\s()\[\]':;,]++ )
      | (?P<sign> [();,] )
      | (?P<plain> [^\s()\[\]':;,]++ )""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?(/[\d.]+)?")
_SHOWN_CHARACTERS = 30


def read_newick(text: str, where: str) -> ClassGraph:
    """The graph of a tree in Newick's format, of any depth.

    Lengths and comments are passed over. A name may be quoted; blanks within a plain one are kept,
    and so are underscores. An inner node without a name gets an id, `inner:1`, and is shown by the
    first and last leaf below it. Where all names of inner nodes are numbers they are support
    values, no names.

    Raises:
      TaxonomyError: naming the place of a bracket without its other half, a leaf without a name,
        or what is no Newick.
    """
    # Nodes as [name, parent] in the order in which they open or, for leaves, are named.
    nodes: list[list] = [["", -1]]
    is_inner = [False]
    current, depth, ended, named = 0, 0, False, False
    for kind, value, position in _tokens(text, where):
        if ended:
            raise _wrong(text, position, where, "a second tree begins; keep one in a file")
        if kind == "name":
            if named:
                nodes[current][0] += " "
            nodes[current][0] += value
            named = True
        elif value == "(":
            if is_inner[current] or named:
                raise _wrong(text, position, where, "a comma is missing before '('")
            is_inner[current] = True
            nodes.append(["", current])
            is_inner.append(False)
            current, depth, named = len(nodes) - 1, depth + 1, False
        elif value == ",":
            if not depth:
                raise _wrong(text, position, where, "a comma stands outside of all brackets")
            nodes.append(["", nodes[current][1]])
            is_inner.append(False)
            current, named = len(nodes) - 1, False
        elif value == ")":
            if not depth:
                raise _wrong(text, position, where, "')' closes nothing")
            current, depth, named = nodes[current][1], depth - 1, False
        else:
            ended = True
            if depth:
                break
    if depth:
        raise TaxonomyError(
            f"{where}: not Newick: brackets that are not closed: {depth}; if the file was cut off, "
            "copy it again"
        )
    return _graph(nodes, is_inner, where)


def _tokens(text: str, where: str) -> Iterator[tuple[str, str, int]]:
    """('name' or 'sign', what it is, where it stands) of all but blanks, comments and lengths."""
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _wrong(text, position, where, "a quote, '[' or ':' is not closed or stands alone")
        kind = match.lastgroup
        if kind == "sign":
            yield "sign", match["sign"], position
        elif kind == "plain":
            yield "name", normalized(match["plain"]), position
        elif kind == "quoted":
            yield "name", normalized(match["quoted"].replace("''", "'")), position
        position = match.end()


def _graph(nodes: list[list], is_inner: list[bool], where: str) -> ClassGraph:
    unnamed = sum(not name and not inner for (name, _), inner in zip(nodes, is_inner))
    if unnamed:
        raise TaxonomyError(f"{where}: leaves without a name: {unnamed}; each needs one")
    labels = [name for (name, _), inner in zip(nodes, is_inner) if inner and name]
    is_support = bool(labels) and all(map(_NUMBER.fullmatch, labels))
    graph = ClassGraph.of_tree(
        [
            TreeNode("" if is_support and inner else name, parent)
            for (name, parent), inner in zip(nodes, is_inner)
        ],
        where,
    )
    if is_support:
        graph.notes.append(f"{len(labels)} support values such as {labels[0]} are passed over")
    return graph


def _wrong(text: str, position: int, where: str, problem: str) -> TaxonomyError:
    near = text[max(0, position - _SHOWN_CHARACTERS) : position + _SHOWN_CHARACTERS]
    return TaxonomyError(
        f"{where}: not Newick: {problem}, at character {position + 1}: {' '.join(near.split())!r}"
    )
