"""Hierarchies in JSON: nested nodes, nested names, children by parent, parents by child, records.

- `{"name": "animal", "children": [{"name": "dog"}, "cat"]}`, or a list of such
- `{"animal": {"dog": {"poodle": {}}, "bird": ["wren", "robin"]}}`
- `{"animal": ["dog", "bird"], "bird": ["wren", "robin"]}`: a parent's children, a graph perhaps
- `{"wren": "bird", "bird": "animal"}`: a child's parent
- `[{"id": "wren", "parent": "bird", "rank": "species"}]`: the table of an edge list
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fine2coarse.taxonomy import edge_list
from fine2coarse.taxonomy.class_graph import NO_PARENT, ClassGraph, TreeNode
from fine2coarse.taxonomy.taxonomy import TaxonomyError
from fine2coarse.taxonomy.text_tables import normalized

_CHILDREN = ("children", "child", "Children")
_NAMES = ("name", "label", "title", "text", "words", "id", "wnid")
_IDS = ("id", "wnid", "node_id")
_SHOWN_CHARACTERS = 60


def read_json_tree(content: Any, where: str) -> tuple[ClassGraph, str]:
    """The graph of a hierarchy in JSON, and the form it is in, for the log.

    Args:
      content: as `json.loads` gives it.
      where: what errors call the file.

    Raises:
      TaxonomyError: naming what is none of the forms.
    """
    if (isinstance(content, Mapping) and not content) or content == []:
        raise TaxonomyError(f"{where}: no classes in it")
    if isinstance(content, list) and all(map(_is_record, content)):
        return _of_records(content, where), "JSON records with a parent each"
    if _is_node(content) or (isinstance(content, list) and any(map(_is_node, content))):
        return _of_nodes(content, where), "JSON nodes with children"
    if isinstance(content, Mapping):
        values = list(content.values())
        if all(isinstance(value, list) and all(map(_is_name, value)) for value in values):
            edges = [
                (_name(parent, where), _name(child, where))
                for parent, children in content.items()
                for child in children
            ]
            empty = [("", _name(parent, where)) for parent, found in content.items() if not found]
            return ClassGraph.of_edges(edges + empty), "JSON lists of each parent's children"
        if all(value is None or isinstance(value, str) for value in values) and any(values):
            return _of_parents(content, where), "JSON with each child's parent"
        return _of_names(content, where), "JSON names within names"
    raise _unknown(content, where)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(value.get(key), list) for key in _CHILDREN)


def _is_record(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and not _is_node(value)
        and edge_list.named_columns(list(map(str, value))) is not None
    )


def _name(value: Any, where: str) -> str:
    name = normalized(str(value)) if _is_name(value) else ""
    if not name:
        raise TaxonomyError(f"{where}: expected the name of a class, got {_shown(value)}")
    return name


def _of_parents(content: Mapping[str, str | None], where: str) -> ClassGraph:
    """A mapping from child to parent; refused where it may be one from ids to names."""
    texts = [value or "" for value in content.values()]
    if not any(text in content or text.lower() in NO_PARENT for text in texts):
        given = [text for text in texts if text]
        if len(set(given)) == len(given):
            raise TaxonomyError(
                f"{where}: each key has a text of its own, as where ids have names: "
                f"{_shown(content)}; expected a hierarchy, e.g. each child's parent"
            )
    edges = [(normalized(parent or ""), _name(child, where)) for child, parent in content.items()]
    return ClassGraph.of_edges(edges)


def _of_records(records: Sequence[Mapping[str, Any]], where: str) -> ClassGraph:
    header = list(dict.fromkeys(key for record in records for key in record))
    columns = edge_list.named_columns(header)
    if columns is None:
        raise _unknown(records[0], where)

    def cell(value: Any) -> str:
        return "" if value is None else _name(value, where) if value != "" else ""

    used = {
        header[n] for n in (columns.parent, columns.child, columns.name, columns.rank) if n >= 0
    }
    rows: list[edge_list.NumberedRow] = [(0, header)]
    for number, record in enumerate(records, start=1):
        parents = record.get(header[columns.parent])
        for parent in parents if isinstance(parents, list) and parents else [parents]:
            parent = None if isinstance(parent, list) else parent
            row = {**record, header[columns.parent]: parent}
            rows.append((number, [cell(row.get(key)) if key in used else "" for key in header]))
    return edge_list.read_edges(rows, where, columns)


def _of_nodes(content: Any, where: str) -> ClassGraph:
    def parts(value: Any) -> tuple[str, str, str, Any]:
        if _is_name(value):
            return _name(value, where), "", "", ()
        if not isinstance(value, Mapping):
            raise _unknown(value, where)
        name = next((_name(value[key], where) for key in _NAMES if _has(value, key)), "")
        node_id = next((_name(value[key], where) for key in _IDS if _has(value, key)), "")
        below = next((value[key] for key in _CHILDREN if value.get(key) is not None), ())
        if not isinstance(below, list | tuple):
            raise _unknown(below, where)
        if not name and not below:
            raise TaxonomyError(f"{where}: a class without a name: {_shown(value)}")
        rank = next((str(value[key]) for key in ("rank", "taxonRank") if _has(value, key)), "")
        return name, node_id, normalized(rank), below

    return _walked(content if isinstance(content, list) else [content], parts, where)


def _has(value: Mapping[str, Any], key: str) -> bool:
    return value.get(key) not in (None, "")


def _of_names(content: Mapping[str, Any], where: str) -> ClassGraph:
    def parts(value: Any) -> tuple[str, str, str, Any]:
        if isinstance(value, tuple):
            name, below = value
        elif _is_name(value):
            name, below = value, None
        elif isinstance(value, Mapping) and len(value) == 1:  # a list of {name: what is below}
            ((name, below),) = value.items()
        else:
            raise _unknown(value, where)
        if isinstance(below, Mapping):
            below = tuple(below.items())
        elif below in (None, "") or (_is_name(below) and not isinstance(below, str)):
            below = ()  # a leaf; a number is its index
        elif not isinstance(below, list):
            raise _unknown(below, where)
        return _name(name, where), "", "", below

    return _walked(list(content.items()), parts, where)


def _walked(
    top: Sequence[Any], parts: Callable[[Any], tuple[str, str, str, Any]], where: str
) -> ClassGraph:
    """The graph of nested values; `parts` gives a value's name, id, rank and what lies below."""
    nodes: list[TreeNode] = []
    pending = [(value, -1) for value in reversed(top)]
    while pending:
        value, parent = pending.pop()
        name, node_id, rank, below = parts(value)
        nodes.append(TreeNode(name, parent, rank, node_id))
        position = len(nodes) - 1
        pending.extend((inner, position) for inner in reversed(below))
    return ClassGraph.of_tree(nodes, where)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _unknown(value: Any, where: str) -> TaxonomyError:
    return TaxonomyError(
        f'{where}: no hierarchy that is known: {_shown(value)}; expected {{"name": …, "children": '
        '[…]}, names within names as in {"bird": {"wren": {}}}, or a list of children for each '
        'parent as in {"bird": ["wren"]}'
    )
