"""Plain mappings to frozen dataclasses: every key known, every type right, or a clear error."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from fine2coarse.nearest import unknown

T = TypeVar("T")


class RecipeError(ValueError):
    """A recipe with an unknown key, a missing one or a value of the wrong kind."""


def parse(cls: type[T], mapping: Mapping[str, Any], where: str = "config") -> T:
    """Builds a dataclass, and those nested in it, from a mapping.

    Args:
      cls: a dataclass; nested dataclasses are given as mappings.
      mapping: its fields; those with a default may be left out.
      where: what errors call the mapping, e.g. `config.pretrain`.

    Raises:
      RecipeError: naming the key, with the nearest right one.
    """
    if not isinstance(mapping, Mapping):
        raise RecipeError(f"{where}: expected keys and values, got {mapping!r}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in mapping:
        if key not in fields:
            raise RecipeError(f"{where}: {unknown('key', key, fields)}")
    missing = [
        name
        for name, field in fields.items()
        if name not in mapping
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise RecipeError(f"{where}: missing {', '.join(missing)}")
    values = {key: _value(hints[key], value, f"{where}.{key}") for key, value in mapping.items()}
    try:
        return cls(**values)
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from error


def _value(expected: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(expected):
        return parse(expected, value, where)
    origin = typing.get_origin(expected)
    arguments = typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _value(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, tuple | list):
            raise RecipeError(f"{where}: expected several values, got {value!r}")
        return tuple(_value(arguments[0], item, where) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise RecipeError(f"{where}: expected keys and values, got {value!r}")
        return {k: _value(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    return _scalar(expected, value, where)


def _scalar(expected: Any, value: Any, where: str) -> Any:
    if expected is Any:
        return value
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    is_bool_for_int = isinstance(value, bool) and expected is not bool
    if not isinstance(value, expected) or is_bool_for_int:
        raise RecipeError(f"{where}: expected {expected.__name__}, got {value!r}")
    return value
