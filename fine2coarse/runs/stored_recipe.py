"""Recipes as folders keep them: what they say of a phase or a study, and whether two are the same.

Operational fields, such as the interval of log rows, make no difference; fields that an earlier
version did not have count as at their defaults.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fine2coarse.errors import RecipeError, UsageError
from fine2coarse.recipes.backbone_spec import BackboneSpec
from fine2coarse.recipes.phase_spec import PhaseSpec
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


def check_same(before: Mapping[str, Any], content: Mapping[str, Any], what: str) -> None:
    """Checks that a recipe is still the one that was written.

    Args:
      before: what was written.
      content: what would be.
      what: they belong to, for errors.

    Raises:
      RunError: naming the keys that differ.
    """
    ours = (_defining(json.loads(json.dumps(recipe))) for recipe in (before, content))
    differing = sorted(_differences(*ours))
    if differing:
        raise RunError(
            f"{what} belongs to another recipe; differing: {'; '.join(differing[:8])}. "
            "Use another folder, or go back to that recipe"
        )


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


def _differences(before: Any, after: Any, where: str = "") -> list[str]:
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if before == after else [f"{where} was {before!r}, now {after!r}"]
    found = []
    for key in before.keys() | after.keys():
        name = f"{where}.{key}" if where else key
        found += _differences(before.get(key), after.get(key), name)
    return found
