"""Records of `spec` from mappings, as a configuration holds them, and back."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from fine2coarse.labels.space import LabelSpaceError
from fine2coarse.labels.spec import (
    Clusters,
    Corrupted,
    Cut,
    File,
    Level,
    Mixed,
    PerImage,
    Random,
    SizeMatched,
    Source,
)
from fine2coarse.nearest import unknown
from fine2coarse.paths import PathError, expand_named

_SOURCES: Mapping[str, type] = {
    "level": Level,
    "cut": Cut,
    "mixed": Mixed,
    "random": Random,
    "clusters": Clusters,
    "per_image": PerImage,
    "size_matched": SizeMatched,
    "corrupted": Corrupted,
    "file": File,
}


_PATHS = ("embeddings", "ids", "centroids", "path")


def option_types() -> dict[str, Any]:
    """Option → its type, of all sources together; that of a nested space is `Source`."""
    found: dict[str, Any] = {}
    for record in _SOURCES.values():
        for name, hint in typing.get_type_hints(record).items():
            kinds = [kind for kind in _kinds(hint) if kind is not type(None)]
            found[name] = kinds[0] if len(kinds) == 1 else Source
    return found


def with_expanded_paths(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a source, those that name files with `~` and variables expanded.

    Raises:
      PathError: see `paths.expand`.
    """
    return expand_named(options, _PATHS)


def source_names() -> tuple[str, ...]:
    """The sources that `from_mapping` knows."""
    return tuple(_SOURCES)


def from_mapping(content: Mapping[str, Any]) -> Source:
    """Makes a record from a mapping with `source` and, perhaps, `options`: the record's fields.

    Nested spaces (`base`, `like`) are mappings of the same form. Options that are None, and
    nested spaces whose source is, count as absent. `~` and variables in paths are expanded.

    Raises:
      LabelSpaceError: on an unknown source or option (naming the nearest), a missing one, one
        of the wrong type, a path that cannot be expanded, or options that contradict each other.
    """
    others = sorted(set(content) - {"source", "options"})
    if others:
        raise LabelSpaceError(f"a label space has `source` and `options`; got {others} as well")
    name = content.get("source") or ""
    if name not in _SOURCES:
        raise LabelSpaceError(unknown("label source", name, _SOURCES))
    record = _SOURCES[name]
    try:
        options = with_expanded_paths(content.get("options") or {})
    except PathError as error:
        raise LabelSpaceError(f"label source {name!r}: {error}") from error
    given = {key: value for key, value in options.items() if not _is_absent(value)}
    fields = {field.name: field for field in dataclasses.fields(record)}
    for key in given:
        if key not in fields:
            raise LabelSpaceError(f"label source {name!r}: {unknown('option', key, fields)}")
    missing = [
        key
        for key, field in fields.items()
        if field.default is dataclasses.MISSING and key not in given
    ]
    if missing:
        raise LabelSpaceError(f"label source {name!r} needs {', '.join(missing)}")
    hints = typing.get_type_hints(record)
    values = {key: _value(f"{name}.{key}", hints[key], value) for key, value in given.items()}
    return record(**values)


def to_mapping(source: Source) -> dict[str, Any]:
    """What `from_mapping` makes the same record from; JSON-able."""
    name = next(name for name, record in _SOURCES.items() if type(source) is record)
    options: dict[str, Any] = {}
    for field in dataclasses.fields(source):
        value = getattr(source, field.name)
        if dataclasses.is_dataclass(value):
            value = to_mapping(value)
        if value is not None:
            options[field.name] = list(value) if isinstance(value, tuple) else value
    return {"source": name, "options": options}


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, Mapping) and value.get("source") is None)


def _value(where: str, expected: Any, value: Any) -> Any:
    """The value as the field wants it: a nested record, a tuple, or a plain value of its type."""
    if isinstance(value, Mapping):
        return from_mapping(value)
    if isinstance(value, list | tuple):
        return tuple(value)
    allowed = _kinds(expected)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    is_bool_for_int = isinstance(value, bool) and bool not in allowed
    if not isinstance(value, tuple(allowed)) or is_bool_for_int:
        names = " or ".join(kind.__name__ for kind in allowed if kind is not type(None))
        raise LabelSpaceError(f"{where}: expected {names}, got {value!r}")
    return value


def _kinds(hint: Any) -> list[type]:
    """The types that a hint such as `int | None` or `tuple[str, ...]` stands for."""
    if typing.get_origin(hint) is tuple:
        return [tuple]
    return [kind for kind in typing.get_args(hint) or (hint,) if isinstance(kind, type)]
