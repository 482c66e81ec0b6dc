"""Recipes as folders keep them: what they say of a phase or a study, and whether two are the same.

Operational fields, such as the interval of log rows, make no difference; fields that an earlier
version did not have count as at their defaults.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fine2coarse.errors import RecipeError, UsageError
from fine2coarse.recipes.backbone_spec import BackboneSpec
from fine2coarse.recipes.phase_spec import PhaseSpec
from fine2coarse.runs.field_differences import (
    MAX_FIELDS,
    FieldDifference,
    as_flag,
    differing_fields,
    told,
)
from fine2coarse.schema import defining, parse

# Keys of a phase's recipe that are no part of what it is: the version of the schema, the
# environment it was begun in, and those it went on in where they differ. Early ones have none.
SCHEMA = "schema_version"
ENVIRONMENT, LATER_ENVIRONMENTS = "environment", "later_environments"
# Parts of a phase's recipe that are records, by their keys.
_RECORDS = {"phase": PhaseSpec, "backbone": BackboneSpec}


class RunError(UsageError, RuntimeError):
    """A folder of a run that cannot be used: another recipe's, unwritable, or unfinished."""


def what_it_is(content: Mapping[str, Any]) -> dict[str, Any]:
    """A phase's stored recipe without the keys that are no part of what it is."""
    names = (SCHEMA, ENVIRONMENT, LATER_ENVIRONMENTS)
    return {name: value for name, value in content.items() if name not in names}


def check_same(
    before: Mapping[str, Any], content: Mapping[str, Any], what: str, *, flags: bool = False
) -> None:
    """Checks that a recipe is still the one that was written.

    Args:
      before: what was written.
      content: what would be.
      what: they belong to, for errors.
      flags: whether they are a study's recipe, whose fields flags can set.

    Raises:
      RunError: naming the fields that differ, each with both values.
    """
    ours, now = (_defining(json.loads(json.dumps(recipe))) for recipe in (before, content))
    differing = list(differing_fields(ours, now))
    if differing:
        raise RunError(
            f"{what} belongs to another recipe; differing: {told(differing)}. "
            f"{_remedy(differing, flags)}"
        )


def _remedy(differing: Sequence[FieldDifference], flags: bool) -> str:
    """What to do about fields that differ."""
    back = [as_flag(found.name, found.before) for found in differing] if flags else []
    known = [flag for flag in back if flag]
    if not known or len(back) > MAX_FIELDS:
        return "Use another --workdir, or go back to that recipe"
    if len(known) == len(back):
        return f"Use another --workdir, or go back with {' '.join(known)}"
    return f"Use another --workdir, or go back to that recipe, as by {' '.join(known)}"


def _defining(content: Any) -> Any:
    """Without what is no part of it, here and in the recipes of what it starts from."""
    if not isinstance(content, Mapping):
        return content
    found = {key: _defining(value) for key, value in what_it_is(content).items()}
    for key, record in _RECORDS.items():
        if isinstance(content.get(key), Mapping):
            try:
                found[key] = defining(parse(record, content[key]))
            except RecipeError:  # a SavedModel in the backbone's place, or another version's
                continue
    return found
