"""A taxonomy matched with the classes of a dataset, by id or name.

`match_leaves` gives the taxonomy whose leaves are the dataset's classes, in their order.
`open_matched` reads the file too.
"""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from fine2coarse.nearest import nearest
from fine2coarse.taxonomy.taxonomy import Taxonomy, TaxonomyError
from fine2coarse.taxonomy.taxonomy_file import read_taxonomy_file
from fine2coarse.taxonomy.text_tables import normalized

_log = logging.getLogger(__name__)
_NUM_NAMES_TOLD = 5
_BLANKS = str.maketrans("_-", "  ")


class MatchError(TaxonomyError):
    """A taxonomy that lacks classes of the dataset, or has one under several nodes."""


def open_matched(
    path: str | pathlib.Path,
    leaf_ids: Sequence[str],
    leaf_names: Sequence[str] | None = None,
    *,
    taxonomy_format: str = "auto",
    dataset: str = "the dataset",
) -> Taxonomy:
    """Reads a taxonomy file and matches it with a dataset's classes.

    Args:
      path: of the file: see `taxonomy_file.read_taxonomy_file`.
      leaf_ids: see `match_leaves`.
      leaf_names: see `match_leaves`.
      taxonomy_format: see `taxonomy_file.read_taxonomy_file`.
      dataset: see `match_leaves`.

    Raises:
      TaxonomyError: where the file holds no taxonomy, or lacks classes of the dataset.
      UsageError: where there is no such format.
      OSError: where the file cannot be read.
    """
    taxonomy = read_taxonomy_file(path, taxonomy_format)
    return match_leaves(taxonomy, leaf_ids, leaf_names, where=str(path), dataset=dataset)


def match_leaves(
    taxonomy: Taxonomy,
    leaf_ids: Sequence[str],
    leaf_names: Sequence[str] | None = None,
    *,
    where: str = "the taxonomy",
    dataset: str = "the dataset",
) -> Taxonomy:
    """The part of a taxonomy at and above a dataset's classes, which become its leaves.

    Each class takes the node that has its id as id or name, else the one that has its name as id
    or name; where there is none, the same without regard to case, and with '_' and '-' for blanks.
    Any node may be a class, also one above another. Leaves of the taxonomy that are no class of
    the dataset are left out, counted and named in the log.

    Args:
      taxonomy: the hierarchy; of any size.
      leaf_ids: ids of the dataset's classes (synset ids, names, ...), in the order of its labels.
      leaf_names: their display names, as many; the ids where None.
      where: what errors and the log call the taxonomy, e.g. its path.
      dataset: what they call the dataset.

    Returns:
      A taxonomy with `num_leaves == len(leaf_ids)`; leaf i is class i. Nodes keep the ids, names
      and ranks of `taxonomy`.

    Raises:
      MatchError: counting and naming the classes that are no node, with the nearest names; the
        leaves that are no class; classes that could be several nodes; nodes that are several
        classes.
    """
    names = leaf_ids if leaf_names is None else leaf_names
    if len(names) != len(leaf_ids):
        raise ValueError(f"{len(leaf_ids)} ids, but {len(names)} names")
    finder = _Finder(taxonomy)
    found = [finder.find(*both) for both in zip(leaf_ids, names)]
    _check(taxonomy, finder, leaf_ids, names, found, where, dataset)
    nodes = [of_class[0] for of_class in found]
    left_out = _left_out(taxonomy, nodes)
    if left_out:
        _log.info(
            "%s: %d of its %d leaves are no class of %s and are left out: %s",
            where, len(left_out), taxonomy.num_leaves, dataset, _some(left_out),
        )  # fmt: skip
    return taxonomy.with_leaves(nodes)


class _Finder:
    """Nodes by id and name, exactly and loosely; the nodes of one spelling, leaves first."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._leaves = set(taxonomy.leaf_nodes)
        columns = (taxonomy.node_ids, taxonomy.names)
        self._tables = [
            (spelled, _by_spelling(column, spelled))
            for spelled in (normalized, _loosely)
            for column in columns
        ]

    def find(self, leaf_id: str, name: str) -> list[int]:
        """The node of a class as a list of one; several where it is not certain; or none."""
        uncertain: list[int] = []
        for nodes in self._candidates(leaf_id, name):
            leaves = [node for node in nodes if node in self._leaves]
            if len(nodes) == 1 or len(leaves) == 1:
                return leaves or nodes
            uncertain = uncertain or nodes
        return uncertain

    def _candidates(self, leaf_id: str, name: str) -> Iterator[list[int]]:
        for tables in (self._tables[:2], self._tables[2:]):
            for text in dict.fromkeys((leaf_id, name)):
                for spelled, table in tables:
                    if nodes := table.get(spelled(text)):
                        yield nodes


def _by_spelling(column: Sequence[str], spelled: Callable[[str], str]) -> Mapping[str, list[int]]:
    table: dict[str, list[int]] = {}
    for node, text in enumerate(column):
        table.setdefault(spelled(text), []).append(node)
    return table


def _loosely(text: str) -> str:
    """A name without case, and with single blanks for '_', '-' and blanks."""
    return " ".join(normalized(text).casefold().translate(_BLANKS).split())


def _check(
    taxonomy: Taxonomy,
    finder: _Finder,
    leaf_ids: Sequence[str],
    names: Sequence[str],
    found: Sequence[Sequence[int]],
    where: str,
    dataset: str,
) -> None:
    """Raises MatchError unless each class has a node of its own."""
    shown = [leaf if leaf == name else f"{leaf} ({name})" for leaf, name in zip(leaf_ids, names)]
    problems = []
    missing = [label for label, nodes in enumerate(found) if not nodes]
    if missing:
        taken = {nodes[0] for nodes in found if len(nodes) == 1}
        told = [
            f"{shown[label]!r}{_hint(taxonomy, taken, names[label], leaf_ids[label])}"
            for label in missing[:_NUM_NAMES_TOLD]
        ]
        problems.append(
            f"{len(missing)} of the {len(found)} classes of {dataset} are no node of it: "
            f"{_listed(told, len(missing))}"
        )
        left_out = _left_out(taxonomy, taken)
        if left_out:
            problems.append(
                f"{len(left_out)} of its {taxonomy.num_leaves} leaves are no class: "
                f"{_some(left_out)}"
            )
    several = [label for label, nodes in enumerate(found) if len(nodes) > 1]
    if several:
        told = [
            f"{shown[label]!r} ({', '.join(taxonomy.node_ids[node] for node in found[label][:3])})"
            for label in several[:_NUM_NAMES_TOLD]
        ]
        problems.append(
            f"{len(several)} classes could be several nodes: {_listed(told, len(several))}"
        )
    classes_of: dict[int, list[str]] = {}
    for label, nodes in enumerate(found):
        if len(nodes) == 1:
            classes_of.setdefault(nodes[0], []).append(shown[label])
    shared = {node: classes for node, classes in classes_of.items() if len(classes) > 1}
    if shared:
        told = [
            f"{taxonomy.node_ids[node]!r} is {', '.join(map(repr, classes[:3]))}"
            for node, classes in list(shared.items())[:_NUM_NAMES_TOLD]
        ]
        problems.append(f"{len(shared)} nodes are several classes: {_listed(told, len(shared))}")
    if problems:
        raise MatchError(
            f"{where}: {'; '.join(problems)}. A class is found by its id or name, with or without "
            "capitals, '_' or '-': add the missing nodes to the file, or rename them there"
        )


def _hint(taxonomy: Taxonomy, taken: Iterable[int], *texts: str) -> str:
    """' (nearest: …)' among the nodes that are no class yet, or ''."""
    free = set(range(len(taxonomy.node_ids))) - set(taken)
    known = {_loosely(taxonomy.names[node]): taxonomy.names[node] for node in free}
    close = next(filter(None, (nearest(_loosely(text), known) for text in texts)), "")
    return f" (nearest: {known[close]!r})" if close else ""


def _left_out(taxonomy: Taxonomy, nodes: Iterable[int]) -> list[str]:
    kept = set(nodes)
    return [taxonomy.node_ids[leaf] for leaf in taxonomy.leaf_nodes if leaf not in kept]


def _some(names: Sequence[str]) -> str:
    return _listed([repr(name) for name in names[:_NUM_NAMES_TOLD]], len(names))


def _listed(told: Sequence[str], total: int) -> str:
    more = total - len(told)
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")
