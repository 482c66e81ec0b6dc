"""Recipe cards: ConfigDicts that start from the schema's defaults, any field of which can be set.

A locked ConfigDict refuses fields that it does not have. `recipe_card` holds all that a recipe has,
but for what has a name of its own (arms, transfer choices) or is chosen (options of a dataset or a
label source); `add_field` puts in one of those, or a field of a card that did not start from
`recipe_card`, for a flag to give it.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from fine2coarse.errors import RecipeError
from fine2coarse.nearest import unknown
from fine2coarse.recipes.dataset_options import option_types
from fine2coarse.recipes.label_card import LabelCard, LabelledDataset
from fine2coarse.recipes.recipe import DatasetSpec, EvaluationSpec, Recipe
from fine2coarse.schema import (
    OPTIONS,
    Choice,
    choice_of,
    hints_of,
    inline_choice,
    is_required,
    without_none,
)

_SCALARS = (str, int, float, bool, tuple)
_OF_DATASETS = (DatasetSpec, EvaluationSpec, LabelledDataset)


def recipe_card() -> ConfigDict:
    """A new recipe card with the schema's defaults; what has none is there and not given."""
    return _defaults(Recipe)


def _defaults(record: type) -> ConfigDict:
    card = ConfigDict()
    hints = hints_of(record)
    for field in dataclasses.fields(record):
        kind = _kind(hints[field.name])
        if isinstance(kind, Choice):
            card[field.name] = ConfigDict({kind.key: placeholder(str), OPTIONS: {}})
        elif type(None) in typing.get_args(hints[field.name]) and kind not in _SCALARS:
            card[field.name] = None  # a record that need not be there
        elif isinstance(kind, type) and dataclasses.is_dataclass(kind):
            card[field.name] = _defaults(kind)
        elif kind not in _SCALARS:
            card[field.name] = ConfigDict()
        else:
            card[field.name] = placeholder(kind) if is_required(field) else field.default
    return card


def add_field(card: ConfigDict, names: Sequence[str]) -> None:
    """Adds a field to a card, and the records around it, where the card leaves it out.

    Options of all datasets, and of all label sources, can be added: which of them fit is told
    when the recipe is parsed. Arms are the card's own; transfer choices may have new names.

    Args:
      card: a recipe, or a label space as in configs/labels.py; changed in place.
      names: of the field and of what holds it, e.g. ('pretrain', 'optimizer', 'ema_decay').

    Raises:
      RecipeError: where there is no such field.
    """
    kind: Any = LabelCard if "label" in card else Recipe
    holder = card
    for depth, name in enumerate(names):
        where = ".".join(("config", *names[:depth]))
        if not isinstance(holder, ConfigDict):
            raise RecipeError(f"{where} holds no fields, so there is no {name!r} in it")
        fields = fields_of(kind, holder, name)
        if name not in fields:
            raise RecipeError(f"{where}: {unknown('field', name, fields)}")
        kind = fields[name]
        _put(holder, name, kind)
        holder = holder[name]


def set_field(card: ConfigDict, names: Sequence[str], value: Any) -> None:
    """Sets a field of a card, which need not have it yet.

    Args:
      card: a recipe, locked or not; changed in place.
      names: of the field and of what holds it, e.g. ('pretrain', 'optimizer', 'ema_decay').
      value: of the field's type; a list counts as a tuple.

    Raises:
      RecipeError: where there is no such field, or the value is of another type.
    """
    add_field(card, names)
    holder = card
    for name in names[:-1]:
        holder = holder[name]
    if isinstance(value, list):
        value = tuple(value)
    try:
        with holder.unlocked():
            holder[names[-1]] = value
    except (TypeError, ValueError) as error:
        raise RecipeError(f"config.{'.'.join(names)}: {error}") from error


def fields_of(kind: Any, holder: ConfigDict, name: str) -> Mapping[str, Any]:
    """Field → kind, of a record, a choice, options or records by name.

    Args:
      kind: a record's class, a `Choice`, a mapping of options, or the hint of records by name.
      holder: what the card holds of it.
      name: of the field that is wanted; a record by that name can be made where it needs nothing.
    """
    if isinstance(kind, Mapping):
        return kind
    if isinstance(kind, Choice):
        return _fields_of_choice(kind)
    if typing.get_origin(kind) is not None:
        record = typing.get_args(kind)[1]
        names = [*holder] if any(map(is_required, dataclasses.fields(record))) else [*holder, name]
        return dict.fromkeys(names, record)
    fields = {field: _kind(hint) for field, hint in hints_of(kind).items()}
    inline = inline_choice(kind)
    if inline:
        del fields[inline[0]]
        fields |= _fields_of_choice(inline[1])
    if issubclass(kind, _OF_DATASETS):
        fields[OPTIONS] = {option: _kind(hint) for option, hint in option_types().items()}
    return fields


def _fields_of_choice(choice: Choice) -> dict[str, Any]:
    options = {
        option: _kind(hint)
        for record in choice.records.values()
        for option, hint in hints_of(record).items()
    }
    return {choice.key: str, OPTIONS: options}


def _kind(hint: Any) -> Any:
    """A field's kind: a choice, a tuple without its elements, and nothing of `| None`."""
    hint = without_none(hint)
    return choice_of(hint) or (tuple if typing.get_origin(hint) is tuple else hint)


def _put(holder: ConfigDict, name: str, kind: Any) -> None:
    """Makes sure that a field is there and of its type; a value that is there stays."""
    is_record = isinstance(kind, Mapping) or kind not in _SCALARS
    value = holder.get(name)
    if value is None:
        value = ConfigDict() if is_record else placeholder(kind)
    elif kind is float and type(value) is int:
        value = float(value)
    elif kind is tuple and isinstance(value, list):
        value = tuple(value)
    else:
        return
    with holder.unlocked():
        if name in holder:
            del holder[name]  # its type goes with it
        holder[name] = value
