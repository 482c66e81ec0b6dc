"""Fields that a recipe card leaves out, and that a flag sets all the same.

A card names the fields that it sets, and a locked ConfigDict refuses all others. `add_field` puts
in a field of the recipe's schema, of the right type and not given, for a flag to give it.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from fine2coarse.labels.spec import Source
from fine2coarse.labels.spec_mapping import option_types
from fine2coarse.nearest import unknown
from fine2coarse.recipes.dataset_options import DATASET_OPTIONS
from fine2coarse.recipes.label_card import LabelCard, LabelledDataset
from fine2coarse.recipes.recipe import DatasetSpec, EvaluationSpec, LabelSpec, Recipe
from fine2coarse.schema import RecipeError


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
        fields = _fields_of(kind, holder, name)
        if name not in fields:
            raise RecipeError(f"{where}: {unknown('field', name, fields)}")
        kind = fields[name]
        _put(holder, name, kind)
        holder = holder[name]


def _fields_of(kind: Any, holder: ConfigDict, name: str) -> Mapping[str, Any]:
    """Field → type, of a record, of options or of records by name."""
    if isinstance(kind, Mapping):
        return kind
    if typing.get_origin(kind) is not None:
        record = typing.get_args(kind)[1]
        names = [*holder] if _needs_fields(record) else [*holder, name]
        return dict.fromkeys(names, record)
    fields = {field: _plain(hint) for field, hint in typing.get_type_hints(kind).items()}
    if issubclass(kind, DatasetSpec | EvaluationSpec | LabelledDataset):
        fields["options"] = {k: v for known in DATASET_OPTIONS.values() for k, v in known.items()}
    if issubclass(kind, LabelSpec):
        fields["options"] = {option: _plain(hint) for option, hint in option_types().items()}
    return fields


def _plain(hint: Any) -> Any:
    """A field's type: without `None`, a tuple without its elements, a nested space as its spec."""
    if hint == Source:
        return LabelSpec
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return tuple if typing.get_origin(hint) is tuple else hint


def _needs_fields(record: type) -> bool:
    """Whether a record cannot be made of nothing; new ones are then not made by a flag."""
    return any(
        field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        for field in dataclasses.fields(record)
    )


def _put(holder: ConfigDict, name: str, kind: Any) -> None:
    """Makes sure that a field is there and of its type; a value that is there stays."""
    is_record = isinstance(kind, Mapping) or kind not in (str, int, float, bool, tuple)
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
