"""What is said of an image: its best classes with their probabilities, as a record or a CSV row."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np

Record = dict[str, str | float]

FILE = "file"
_COARSE, _FINE = "", "fine_"
_DIGITS = 6


def columns(num_classes: int, num_fine: int, top: int) -> list[str]:
    """Names of a record's fields, in order.

    Args:
      num_classes: K, of the model.
      num_fine: C, finer classes that it sums; 0 for none.
      top: classes told of each image at most.
    """
    names = [FILE]
    for prefix, number in ((_COARSE, num_classes), (_FINE, num_fine)):
        for place in range(1, min(top, number) + 1):
            names += _pair(prefix, place)
    return names


def _pair(prefix: str, place: int) -> tuple[str, str]:
    """`class` and `probability`, or `class_2` and `probability_2`."""
    number = "" if place == 1 else f"_{place}"
    return f"{prefix}class{number}", f"{prefix}probability{number}"


def record(
    name: str,
    classes: Sequence[str],
    probabilities: np.ndarray,
    fine_classes: Sequence[str],
    fine_probabilities: np.ndarray | None,
    top: int,
) -> Record:
    """The record of one image.

    Args:
      name: of the file.
      classes: K names.
      probabilities: float32 [K].
      fine_classes: C names; empty where there are none.
      fine_probabilities: float32 [C]; None where there are none.
      top: classes told at most, the most probable first; of equals the first.
    """
    found: Record = {FILE: name}
    told = [(_COARSE, classes, probabilities)]
    if fine_probabilities is not None and len(fine_classes):
        told.append((_FINE, fine_classes, fine_probabilities))
    for prefix, names, values in told:
        for place, index in enumerate(largest(values, top), start=1):
            name_of_class, name_of_value = _pair(prefix, place)
            found[name_of_class] = names[index]
            found[name_of_value] = float(values[index])
    return found


def largest(values: np.ndarray, top: int) -> np.ndarray:
    """Indices of the largest values, the largest first, of equals the first: int64 [min(top, K)].

    Args:
      values: float [K].
      top: how many.
    """
    if top < len(values) // 4:  # sorting millions of classes for five would take long
        candidates = np.flatnonzero(values >= np.partition(values, -top)[-top])
        return candidates[np.argsort(-values[candidates], kind="stable")][:top]
    return np.argsort(-values, kind="stable")[:top]


def csv_text(rows: Sequence[Mapping[str, object]], names: Sequence[str], header: bool) -> str:
    """Lines of CSV; probabilities with six decimals.

    Args:
      rows: records.
      names: of the columns.
      header: whether their names come first.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    if header:
        writer.writeheader()
    for row in rows:
        writer.writerow(
            {
                name: f"{value:.{_DIGITS}f}" if isinstance(value, float) else value
                for name, value in row.items()
            }
        )
    return text.getvalue()
