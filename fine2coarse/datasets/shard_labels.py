"""From the labels that shards hold, integers or names, to a taxonomy and its leaf labels."""

from __future__ import annotations

import collections
import dataclasses
import logging
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from fine2coarse.datasets.label_levels import WORDNET
from fine2coarse.datasets.shard_files import ShardsError
from fine2coarse.datasets.tfds_hierarchy import nested_taxonomy
from fine2coarse.taxonomy.match import open_matched
from fine2coarse.taxonomy.taxonomy import Taxonomy
from fine2coarse.taxonomy.taxonomy_file import AUTO
from fine2coarse.taxonomy.text_tables import normalized, read_lines
from fine2coarse.taxonomy.wordnet import is_synset_id, known_synsets, read_wordnet

_log = logging.getLogger(__name__)

ROOT = "(root)"
_NUM_NAMES_TOLD = 3

Label = int | str
LabelRow = tuple[Label, ...]
"""What one image is labelled with, a value a column, finest first."""


@dataclasses.dataclass(frozen=True)
class LabelColumn:
    """A column of labels.

    Attributes:
      name: of the column; that of a level of the taxonomy.
      classes: names of the classes that its integers stand for; None where none are known.
    """

    name: str
    classes: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class ResolvedLabels:
    """What labels mean.

    Attributes:
      taxonomy: its leaves are the classes.
      leaf_of: row of labels → leaf label; rows that are no class are left out.
    """

    taxonomy: Taxonomy
    leaf_of: Mapping[LabelRow, int]


def read_classes(path: str) -> tuple[str, ...]:
    """Reads class ids, one a line, in the order of the integers that stand for them.

    A line that begins with a synset id, as in `n01440764 tench, Tinca tinca`, is that id.

    Raises:
      ShardsError: where there is no such file, a line is empty, or an id repeats.
    """
    file = pathlib.Path(path)
    if not file.is_file():
        raise ShardsError(f"classes={path}: no such file; it names the classes, one a line")
    lines = read_lines(file.read_bytes(), path)
    while lines and not lines[-1].strip():
        lines.pop()
    classes: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        text = normalized(line)
        first = text.split(" ")[0].split("\t")[0]
        name = first if is_synset_id(first) else text
        if not name:
            raise ShardsError(f"{path}: line {number} is empty; each line names a class")
        if name in classes:
            raise ShardsError(f"{path}: line {number}: {name!r} repeats line {classes[name]}")
        classes[name] = number
    if not classes:
        raise ShardsError(f"{path}: no classes in it; expected one a line")
    return tuple(classes)


def resolve_labels(
    columns: Sequence[LabelColumn],
    rows: Iterable[LabelRow],
    *,
    taxonomy: str = "",
    taxonomy_format: str = AUTO,
    classes: tuple[str, ...] | None = None,
    where: str,
) -> ResolvedLabels:
    """The taxonomy over the classes that labels name, and each row's leaf.

    Args:
      columns: finest first.
      rows: all that occur, each at least once.
      taxonomy: 'wordnet', where the classes are synset ids; the path of a taxonomy's file; empty
        where several columns show how their classes nest, or one column is all there is.
      taxonomy_format: of the file: see `taxonomy_file.read_taxonomy_file`.
      classes: ids of the classes of the finest column, in the order of its integers.
      where: errors call the dataset.

    Raises:
      ShardsError: where the labels are not what the taxonomy needs.
      TaxonomyError: where columns do not nest, or a taxonomy's leaves are others.
    """
    rows, levels = _checked(columns, rows, taxonomy, classes, where)
    if classes and not any(row[0] in levels[0].index_of for row in rows):
        shown = [row[0] for row in rows[:_NUM_NAMES_TOLD]]
        raise ShardsError(
            f"{where}: none of the labels, such as {shown}, is one of the {len(classes)} classes "
            f"given, such as {list(classes[:_NUM_NAMES_TOLD])}"
        )
    if len(levels) > 1:
        return _nested(levels, rows, where)
    if taxonomy == WORDNET:
        return _wordnet(levels[0], where)
    names = levels[0].names
    if taxonomy:
        found = open_matched(taxonomy, names, taxonomy_format=taxonomy_format, dataset=where)
    else:
        found = _flat(names, levels[0].column.name)
    return ResolvedLabels(found, {(value,): index for value, index in levels[0].index_of.items()})


def check_labels(
    columns: Sequence[LabelColumn],
    rows: Iterable[LabelRow],
    *,
    taxonomy: str = "",
    classes: tuple[str, ...] | None = None,
    where: str,
) -> None:
    """What `resolve_labels` would refuse whatever other rows there are, or nearly so.

    Args:
      columns: see `resolve_labels`.
      rows: some of those that occur.
      taxonomy: see `resolve_labels`.
      classes: see `resolve_labels`.
      where: see `resolve_labels`.

    Raises:
      ShardsError: see there.
    """
    _checked(columns, rows, taxonomy, classes, where)


def _checked(
    columns: Sequence[LabelColumn],
    rows: Iterable[LabelRow],
    taxonomy: str,
    classes: tuple[str, ...] | None,
    where: str,
) -> tuple[list[LabelRow], list[_Level]]:
    """The distinct rows in order, and the classes of each column."""
    rows = sorted(set(rows), key=lambda row: [(isinstance(v, str), v) for v in row])
    if not rows:
        raise ShardsError(f"{where}: no image has a label")
    if taxonomy and len(columns) > 1:
        names = [column.name for column in columns]
        raise ShardsError(
            f"{where}: taxonomy={taxonomy} says what stands above the classes, so one column of "
            f"labels is enough; got {names}: name the finest alone, or leave taxonomy out"
        )
    columns = [_with_classes(columns[0], classes, where), *columns[1:]]
    levels = [_Level(column, [row[n] for row in rows]) for n, column in enumerate(columns)]
    if taxonomy == WORDNET and not any(map(is_synset_id, levels[0].names)):
        raise _no_synsets(levels[0], where)
    return rows, levels


def _no_synsets(level: _Level, where: str) -> ShardsError:
    what = "numbers" if all(name.isdigit() for name in level.names) else "other names"
    return ShardsError(
        f"{where}: taxonomy='{WORDNET}' needs classes that are synset ids such as n02084071; "
        f"these are {what}: {', '.join(level.names[:_NUM_NAMES_TOLD])}. Name them by "
        "--config.dataset.options.classes=FILE, one id a line in the order of the numbers, or name "
        "labels that are synset ids"
    )


class _Level:
    """The classes of a column.

    Attributes:
      column: it.
      names: of the classes, no two alike: those known, else those that occur, in order.
      index_of: value → position in `names`; values that are no class are left out.
    """

    def __init__(self, column: LabelColumn, values: Iterable[Label]) -> None:
        self.column = column
        values = list(dict.fromkeys(values))
        self.index_of: dict[Label, int] = {}
        if column.classes is not None:
            self.names = column.classes
            position = {name: index for index, name in enumerate(self.names)}
            for value in values:
                if isinstance(value, str):
                    index = position.get(normalized(value), -1)
                else:
                    index = value if 0 <= value < len(self.names) else -1
                if index >= 0:
                    self.index_of[value] = index
            return
        text_of = {value: normalized(str(value)) for value in values}
        if all(isinstance(value, int) for value in values):
            ordered = [text_of[value] for value in sorted(values)]
        else:
            ordered = sorted({text for text in text_of.values() if text})
        self.names = tuple(ordered)
        position = {name: index for index, name in enumerate(self.names)}
        self.index_of = {value: position[text] for value, text in text_of.items() if text}


def _with_classes(column: LabelColumn, classes: tuple[str, ...] | None, where: str) -> LabelColumn:
    if column.classes is not None:
        column = dataclasses.replace(column, classes=_distinct(column.classes))
    if classes is None:
        return column
    if column.classes is not None and len(column.classes) != len(classes):
        raise ShardsError(
            f"{where}: {column.name!r} has {len(column.classes)} classes, but the file given as "
            f"`classes` names {len(classes)}: it has to name each of them, in the same order"
        )
    return dataclasses.replace(column, classes=classes)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names, with its number behind each that two classes have."""
    names = [normalized(name) for name in names]
    counts = collections.Counter(names)
    return tuple(
        name if counts[name] == 1 else f"{name} ({number})" for number, name in enumerate(names)
    )


def _flat(names: Sequence[str], level: str) -> Taxonomy:
    root = ROOT if ROOT not in names else f"{ROOT}{ROOT}"
    return Taxonomy.from_parents(
        {root: (), **dict.fromkeys(names, (root,))},
        names,
        ranks=dict.fromkeys(names, level),
        levels=(level,),
    )


def _wordnet(level: _Level, where: str) -> ResolvedLabels:
    known = known_synsets()
    kept = [name for name in level.names if name in known]
    if not kept:
        raise _no_synsets(level, where)
    if len(kept) < len(level.names):
        unknown = [name for name in level.names if name not in known]
        _log.warning(
            "%d of %d classes are in no path of WordNet's taxonomy, such as %s; their images are "
            "skipped",
            len(unknown),
            len(level.names),
            ", ".join(unknown[:_NUM_NAMES_TOLD]),
        )
    label_of = {name: label for label, name in enumerate(kept)}
    leaf_of = {
        (value,): label_of[level.names[index]]
        for value, index in level.index_of.items()
        if level.names[index] in label_of
    }
    return ResolvedLabels(read_wordnet(kept), leaf_of)


def _nested(levels: Sequence[_Level], rows: Sequence[LabelRow], where: str) -> ResolvedLabels:
    """The tree that the columns show; classes that no image has are left out."""
    whole = [
        (row, [level.index_of[value] for level, value in zip(levels, row)])
        for row in rows
        if all(value in level.index_of for level, value in zip(levels, row))
    ]
    if not whole:
        raise ShardsError(f"{where}: no image has a class in every column of labels")
    table = np.asarray([indices for _, indices in whole], np.int64)
    names, columns = [], []
    for position, level in enumerate(levels):
        seen, column = np.unique(table[:, position], return_inverse=True)
        if len(seen) < len(level.names):
            _log.warning(
                "%d of %d classes of %s have no image and are left out",
                len(level.names) - len(seen),
                len(level.names),
                level.column.name,
            )
        names.append([level.names[index] for index in seen])
        columns.append(column.reshape(-1))
    ranks = [level.column.name for level in levels]
    taxonomy = nested_taxonomy(ranks, names, np.stack(columns, axis=1), where)
    leaf_of = {row: int(leaf) for (row, _), leaf in zip(whole, columns[0])}
    return ResolvedLabels(taxonomy, leaf_of)
