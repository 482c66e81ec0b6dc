"""The one parser: plain mappings to frozen dataclasses and back.

A *record* is a frozen dataclass. Its fields are scalars, tuples, mappings by name, other records or
a *choice*: one of several records, named by a key, with its fields under `options`, as in
`{"source": "cut", "options": {"num_classes": 23}}`. Every key is known and every type right, or a
`RecipeError` says which is not, with the nearest right one. None counts as not given wherever None
is no value of the field, so that a card may hold a place for what a flag may set.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from fine2coarse.errors import RecipeError
from fine2coarse.nearest import unknown
from fine2coarse.paths import PathError, expand

OPTIONS = "options"
T = TypeVar("T")
_OPERATIONAL, _PATH, _INLINE = "operational", "path", "inline"


@dataclasses.dataclass(frozen=True)
class Choice:
    """Marks a union of records, `Annotated[A | B, Choice(…)]`, as chosen by name.

    Attributes:
      what: the records are, for errors: 'label source'.
      key: that holds the name.
      records: name → record.
    """

    what: str
    key: str
    records: Mapping[str, type]

    def name_of(self, record: Any) -> str:
        """The name that a record is parsed from."""
        return next(name for name, cls in self.records.items() if type(record) is cls)

    def __hash__(self) -> int:
        """Of what it is called; `typing` asks for a hash."""
        return hash((self.what, self.key))


class _Words(NamedTuple):
    """What errors call a record's field, and what they put before its name."""

    key: str
    inside: str
    missing: str


def operational(default: Any) -> Any:
    """A field that says how or where, not what: no number depends on it."""
    return dataclasses.field(default=default, metadata={_OPERATIONAL: True})


def path(default: Any = dataclasses.MISSING, *, is_operational: bool = False) -> Any:
    """A field that names a file or folder: `~` and variables are expanded."""
    metadata = {_PATH: True, _OPERATIONAL: is_operational}
    return dataclasses.field(default=default, metadata=metadata)


def inline() -> Any:
    """A choice whose key and options stand among the record's own keys."""
    return dataclasses.field(metadata={_INLINE: True})


def parse(cls: Any, mapping: Mapping[str, Any], where: str = "config") -> Any:
    """Builds a record, or one of a choice, from a mapping.

    Args:
      cls: a dataclass, or an annotated choice.
      mapping: its fields; those with a default may be left out.
      where: what errors call the mapping, e.g. `config.pretrain`.

    Raises:
      RecipeError: naming the key, with the nearest right one.
    """
    if not isinstance(mapping, Mapping):
        raise RecipeError(f"{where}: expected keys and values, got {mapping!r}")
    choice = choice_of(cls)
    if choice:
        return _parse_choice(choice, mapping, where)
    return _parse_record(cls, mapping, where, _Words("key", ".", ": missing "))


def to_plain(record: Any) -> dict[str, Any]:
    """What `parse` makes the same record from, JSON-able: mappings, lists and scalars."""
    return _plain(record, lambda field: True)


def defining(record: Any) -> dict[str, Any]:
    """The same without operational fields: what determines the numbers.

    A record whose method `normalised` gives an equivalent one, without what has no effect beside
    its other fields, is replaced by that.
    """
    return _plain(record, lambda field: not is_operational(field), normalise=True)


def choice_of(hint: Any) -> Choice | None:
    """The choice that a type hint stands for, `| None` or not; None where it is none."""
    for kind in (hint, *typing.get_args(hint)):
        for mark in getattr(kind, "__metadata__", ()):
            if isinstance(mark, Choice):
                return mark
    return None


@functools.cache
def hints_of(cls: type) -> Mapping[str, Any]:
    """Field → type, choices still annotated."""
    return typing.get_type_hints(cls, include_extras=True)


def is_required(field: dataclasses.Field) -> bool:
    """Whether a field has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def is_operational(field: dataclasses.Field) -> bool:
    """Whether a field says how or where, not what."""
    return bool(field.metadata.get(_OPERATIONAL))


def inline_choice(cls: type) -> tuple[str, Choice] | None:
    """The field of a record whose choice stands among its keys; None where there is none."""
    for field in dataclasses.fields(cls):
        if field.metadata.get(_INLINE):
            return field.name, choice_of(hints_of(cls)[field.name])
    return None


def without_none(hint: Any) -> Any:
    """A type hint without `| None`; choices and tuples as they are."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint


def _parse_choice(choice: Choice, mapping: Mapping[str, Any], where: str) -> Any:
    others = sorted(set(mapping) - {choice.key, OPTIONS})
    if others:
        raise RecipeError(
            f"{where}: a {choice.what} has `{choice.key}` and `{OPTIONS}`; got {others} as well"
        )
    name = mapping.get(choice.key) or ""
    if name not in choice.records:
        raise RecipeError(f"{where}: {unknown(choice.what, name, choice.records)}")
    options = mapping.get(OPTIONS)
    if options is None:
        options = {}
    elif isinstance(options, Mapping):  # None counts as not given, whatever record has the option
        options = {key: value for key, value in options.items() if value is not None}
    elif not isinstance(options, Mapping):
        raise RecipeError(f"{where}: expected keys and values in `{OPTIONS}`, got {options!r}")
    told = f"{where}: {choice.what} {name!r}"
    return _parse_record(choice.records[name], options, told, _Words("option", ": ", " needs "))


def _parse_record(cls: type[T], mapping: Mapping[str, Any], where: str, words: _Words) -> T:
    hints, fields = hints_of(cls), {field.name: field for field in dataclasses.fields(cls)}
    given = _gather_inline(fields, hints, mapping)
    for key in given:
        if key not in fields:
            raise RecipeError(f"{where}: {unknown(words.key, key, fields)}")
    given = {key: value for key, value in given.items() if not _is_absent(hints[key], value)}
    missing = [name for name, field in fields.items() if name not in given and is_required(field)]
    if missing:
        raise RecipeError(f"{where}{words.missing}{', '.join(missing)}")
    values = {}
    for key, value in given.items():
        inside = where if fields[key].metadata.get(_INLINE) else f"{where}{words.inside}{key}"
        values[key] = _value(hints[key], value, inside)
        if fields[key].metadata.get(_PATH) and isinstance(values[key], str):
            values[key] = _expanded(values[key], inside)
    return _made(cls, values, where)


def _gather_inline(
    fields: Mapping[str, dataclasses.Field], hints: Mapping[str, Any], mapping: Mapping[str, Any]
) -> dict[str, Any]:
    """The mapping with the keys of an inline choice put together under its field."""
    given = dict(mapping)
    for name, field in fields.items():
        if field.metadata.get(_INLINE):
            keys = (choice_of(hints[name]).key, OPTIONS)
            given[name] = {key: given.pop(key) for key in keys if key in given}
    return given


def _is_absent(hint: Any, value: Any) -> bool:
    """Whether a value counts as not given: None that is no value, or a choice without a name."""
    choice = choice_of(hint)
    if choice and isinstance(value, Mapping) and choice.key in value:
        return value[choice.key] is None
    return value is None and type(None) not in typing.get_args(hint)


def _made(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    try:
        return cls(**values)
    except RecipeError as error:
        # What a whole recipe says of itself names its fields.
        raise error if where == "config" else RecipeError(f"{where}: {error}") from error
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from error


def _value(expected: Any, value: Any, where: str) -> Any:
    if choice_of(expected):
        return None if value is None else parse(expected, value, where)
    if dataclasses.is_dataclass(expected):
        return parse(expected, value, where)
    origin = typing.get_origin(expected)
    arguments = typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _value(without_none(expected), value, where)
    if origin is tuple:
        if not isinstance(value, tuple | list):
            raise RecipeError(f"{where.lstrip('.')}: expected several values, got {value!r}")
        return tuple(_value(arguments[0], item, where) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise RecipeError(f"{where.lstrip('.')}: expected keys and values, got {value!r}")
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


def _expanded(text: str, where: str) -> str:
    try:
        return expand(text)
    except PathError as error:
        raise RecipeError(f"{where.lstrip('.')}: {error}") from error


def _plain(
    record: Any, is_kept: Callable[[dataclasses.Field], bool], normalise: bool = False
) -> dict[str, Any]:
    if normalise and hasattr(record, "normalised"):
        record = record.normalised()
    found: dict[str, Any] = {}
    for field in filter(is_kept, dataclasses.fields(record)):
        value = getattr(record, field.name)
        choice = choice_of(hints_of(type(record))[field.name])
        if choice and value is not None:
            plain = _plain(value, is_kept, normalise)
            options = {name: plain[name] for name in _given(value) if name in plain}
            value = {choice.key: choice.name_of(value), OPTIONS: options}
            found |= value if field.metadata.get(_INLINE) else {field.name: value}
        else:
            found[field.name] = _plain_value(value, is_kept, normalise)
    return found


def _plain_value(value: Any, is_kept: Callable[[dataclasses.Field], bool], normalise: bool) -> Any:
    if dataclasses.is_dataclass(value):
        return _plain(value, is_kept, normalise)
    if isinstance(value, Mapping):
        return {key: _plain_value(item, is_kept, normalise) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain_value(item, is_kept, normalise) for item in value]
    return value


def _given(record: Any) -> list[str]:
    """Names of the fields that are not at their defaults."""
    return [
        field.name
        for field in dataclasses.fields(record)
        if getattr(record, field.name) != field.default
    ]


def records_within(cls: Any) -> Iterator[type]:
    """A record and all records that its fields may hold, each once."""
    pending, seen = [cls], set()
    while pending:
        kind = pending.pop()
        choice = choice_of(kind)
        if choice:
            pending += choice.records.values()
        elif dataclasses.is_dataclass(kind) and kind not in seen:
            seen.add(kind)
            yield kind
            pending += hints_of(kind).values()
        else:
            pending += typing.get_args(kind)
