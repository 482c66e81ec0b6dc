"""Which fields of two recipes differ, told so that each stays short."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

MAX_FIELDS, MAX_LETTERS = 8, 80


class FieldDifference(NamedTuple):
    """A field with two values; None where a recipe does not have it."""

    name: str
    before: Any
    after: Any


def differing_fields(before: Any, after: Any, name: str = "") -> Iterator[FieldDifference]:
    """The fields that differ, by dotted name, in the order of their names.

    Args:
      before: mappings within mappings, with scalars and lists in them.
      after: the same.
      name: of the field that both are; empty for whole recipes.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted(before.keys() | after.keys()):
            inside = f"{name}.{key}" if name else str(key)
            yield from differing_fields(before.get(key), after.get(key), inside)
    elif before != after:
        yield FieldDifference(name, before, after)


def told(differences: Sequence[FieldDifference]) -> str:
    """The first of them in words: `seed was 0, now 1; loss was 'softmax', now 'sigmoid'`."""
    shown = [
        f"{found.name} was {short(found.before)}, now {short(found.after)}"
        for found in differences[:MAX_FIELDS]
    ]
    left = len(differences) - len(shown)
    return "; ".join(shown) + (f"; and {left} more" if left else "")


def short(value: Any, most: int = MAX_LETTERS) -> str:
    """A value as it is written, cut at the end where it is long."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def as_flag(name: str, value: Any) -> str | None:
    """The flag that sets a recipe's field to a value; None where no flag can."""
    if isinstance(value, bool | int | float):
        return f"--config.{name}={value}"
    if isinstance(value, str) and value:
        plain = all(letter.isalnum() or letter in "_-./@:" for letter in value)
        return f"--config.{name}={value}" if plain else f"--config.{name}={json.dumps(value)}"
    return None
