"""Every field of a recipe with its type, default and meaning, read from the schema.

In a name, NAME stands for one of your own, as in `arms.NAME.pretrain_steps`. Meanings are those of
the records' docstrings.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fine2coarse.errors import UsageError
from fine2coarse.nearest import unknown
from fine2coarse.recipes.dataset_options import DATASET_OPTIONS
from fine2coarse.schema import (
    OPTIONS,
    Choice,
    choice_of,
    hints_of,
    inline_choice,
    is_operational,
    without_none,
)

REQUIRED, NONE = "required", "none"
_RECORD, _RECORDS = "fields below", "fields below, by name"
_OWN_NAME = "NAME"
_NEEDED = "; needed."  # said of what the schema lets be left out, for a card to leave its place
_ATTRIBUTE = re.compile(r"^(\w+): (.*)$")
_IN_BRACKETS = re.compile(r"(.*) \(([^()]+)\)\.")  # a dataset option's default: see its docstring
_WIDTH = 100


@dataclasses.dataclass(frozen=True)
class RecipeField:
    """A field of a recipe.

    Attributes:
      name: dotted, as after `--config.`; NAME stands for one of your own.
      type: of its value: 'int', 'float', 'str', 'bool', 'tuple of int', 'label source', or that it
        holds the fields below it.
      default: what holds where it is not given: 'required' where it must be, 'none' for nothing.
      meaning: in words.
      goes_with: the dataset or label source that it is an option of; else empty.
      is_operational: whether it says how or where, not what: no number depends on it, and it may
        change within a study.
    """

    name: str
    type: str
    default: str
    meaning: str
    goes_with: str = ""
    is_operational: bool = False


def list_fields(record: type) -> list[RecipeField]:
    """All fields of a recipe, those that a field holds after it.

    Label spaces that a label source starts from (`base`, `like`) are listed without their own
    options: these are the same again.

    Args:
      record: `Recipe`, or `LabelCard` for the card of `fine2coarse label_space`.
    """
    return list(_fields(record, "", None))


def find_fields(fields: Sequence[RecipeField], text: str) -> list[RecipeField]:
    """The field of that name with all that it holds; else those whose name has the text in it.

    Raises:
      UsageError: where there is none.
    """
    text = _with_own_names(text.removeprefix("--").removeprefix("config."), fields)
    below = [field for field in fields if f"{field.name}.".startswith(f"{text}.")]
    found = below or [field for field in fields if text.lower() in field.name]
    if not found or not text:
        names = dict.fromkeys(field.name.rpartition(".")[2] for field in fields)
        known = [field.name for field in fields if "." not in field.name]
        message = unknown("field", text, [*known, *names])
        raise UsageError(f"{message.partition('there are: ')[0]}there are: {', '.join(known)}")
    return found


def _with_own_names(text: str, fields: Sequence[RecipeField]) -> str:
    """`arms.fine.pretrain_steps` as `arms.NAME.pretrain_steps`."""
    for field in fields:
        if field.type == _RECORDS:
            own = rf"({re.escape(field.name)})(?:\.[^.\[]+|\[[^\]]*\])"
            text = re.sub(rf"^{own}", rf"\1.{_OWN_NAME}", text)
    return text


def overview(fields: Sequence[RecipeField]) -> list[RecipeField]:
    """The fields at the top."""
    return [field for field in fields if "." not in field.name]


def as_text(fields: Sequence[RecipeField]) -> str:
    """For a terminal: a line a field, its meaning below."""
    return "\n".join(_paragraph(field) for field in fields)


def meanings(record: type) -> dict[str, str]:
    """Field → meaning, from the docstrings of a record and of those that it extends."""
    found: dict[str, str] = {}
    for cls in reversed(record.__mro__):
        found |= _attributes(inspect.cleandoc(cls.__dict__.get("__doc__") or ""))
    return found


def summary(record: type) -> str:
    """What a record is: the first line of its docstring, without the reference to our code."""
    first = inspect.cleandoc(record.__doc__ or "").partition("\n")[0]
    return first.partition(": see `")[0].rstrip(".") + "."


def _fields(record: type, prefix: str, default: Any, goes_with: str = "") -> Iterator[RecipeField]:
    hints, told = hints_of(record), meanings(record)
    for field in dataclasses.fields(record):
        value = getattr(default, field.name, field.default)
        if value is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        hint = hints[field.name]
        kind = without_none(hint)
        meaning = _sentence(told.get(field.name, ""))
        if field.name == "name" and _is_dataset_options(hints.get(OPTIONS)):
            meaning = f"{meaning.rstrip('.')}: one of {_quoted(DATASET_OPTIONS)}."
        found = RecipeField(
            name=f"{prefix}{field.name}",
            type=_type(kind),
            default=REQUIRED if meaning.endswith(_NEEDED) else _default(value),
            meaning=meaning.replace(_NEEDED, "."),
            goes_with=goes_with,
            is_operational=is_operational(field),
        )
        yield from _with_what_it_holds(found, kind, value, record)


def _with_what_it_holds(
    field: RecipeField, kind: Any, value: Any, record: type
) -> Iterator[RecipeField]:
    choice, name = choice_of(kind), field.name
    if choice and record in choice.records.values():
        yield field
    elif choice:
        is_inline = inline_choice(record) == (name.rpartition(".")[2], choice)
        yield from () if is_inline else (field,)
        yield from _choice(choice, name.rpartition(".")[0] if is_inline else name, field.default)
    elif dataclasses.is_dataclass(kind):
        yield field
        yield from _fields(kind, f"{name}.", value)
    elif _is_dataset_options(kind):
        yield field
        for dataset, options in DATASET_OPTIONS.items():
            yield from map(_with_its_builders_default, _fields(options, f"{name}.", None, dataset))
    elif _element(kind) is not None:
        yield field
        yield from _fields(_element(kind), f"{name}.{_OWN_NAME}.", None)
    else:
        yield field


def _choice(choice: Choice, name: str, default: str) -> Iterator[RecipeField]:
    """The key that names a record, then the options of each."""
    meaning = f"The {choice.what}: one of {_quoted(choice.records)}."
    yield RecipeField(f"{name}.{choice.key}", "str", default, meaning)
    for known, record in choice.records.items():
        yield from _fields(record, f"{name}.{OPTIONS}.", None, known)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _is_dataset_options(kind: Any) -> bool:
    return kind == Mapping[str, Any]


def _with_its_builders_default(field: RecipeField) -> RecipeField:
    found = _IN_BRACKETS.fullmatch(field.meaning)
    if found is None:
        return field
    return dataclasses.replace(field, meaning=f"{found[1]}.", default=found[2])


def _element(kind: Any) -> Any:
    """The record of a mapping of records by name; None of all else."""
    origin = typing.get_origin(kind)
    is_mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    return typing.get_args(kind)[1] if is_mapping and not _is_dataset_options(kind) else None


def _type(kind: Any) -> str:
    choice = choice_of(kind)
    if choice:
        return choice.what
    if dataclasses.is_dataclass(kind):
        return _RECORD
    if typing.get_origin(kind) is tuple:
        return f"tuple of {typing.get_args(kind)[0].__name__}"
    if typing.get_origin(kind) is not None:
        return _RECORD if _is_dataset_options(kind) else _RECORDS
    return kind.__name__


def _default(value: Any) -> str:
    """As a flag takes it; nothing of what holds fields with defaults of their own."""
    if value is dataclasses.MISSING:
        return REQUIRED
    if dataclasses.is_dataclass(value) or isinstance(value, Mapping):
        return ""
    if value is None or value in ("", ()):
        return NONE
    return str(value)


def _sentence(text: str) -> str:
    """With a capital, where the text does not begin with a name."""
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+[ ,;.:]", text) else text


def _attributes(docstring: str) -> dict[str, str]:
    """The entries of a docstring's section `Attributes`, each on one line."""
    _, _, section = docstring.partition("Attributes:\n")
    section = section.split("\n\n")[0]
    found: dict[str, str] = {}
    name = ""
    for line in textwrap.dedent(section).splitlines():
        begins = _ATTRIBUTE.match(line)
        if begins:
            name, text = begins.groups()
            found[name] = text
        elif name:
            found[name] += f" {line.strip()}"
    return found


def _paragraph(field: RecipeField) -> str:
    told = [field.type, *([f"default {field.default}"] if field.default else [])]
    if field.default == REQUIRED:
        told[-1] = REQUIRED
    if field.goes_with:
        told.append(f"with {field.goes_with}")
    if field.is_operational:
        told.append("operational")
    meaning = textwrap.fill(field.meaning, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    return f"{field.name}  ({'; '.join(told)})\n{meaning}"
