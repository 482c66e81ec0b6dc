"""A sweep: a recipe with some of its fields at several values, a study for each combination.

Each cell of the grid is an ordinary study in a folder of its own below the sweep's, so that all
that can be done with a study can be done with a cell.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import itertools
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_flags import config_path

from fine2coarse.analysis.study_folder import is_finished
from fine2coarse.errors import FailedError, RecipeError
from fine2coarse.files import read_json, write_json
from fine2coarse.recipes.card import add_field, set_field
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.runs.phase_folder import RECIPE, RunError
from fine2coarse.studies.run_plan import Run, plan_runs, select_runs

SWEEP = "sweep.json"
_BETWEEN = "__"  # between the fields in a cell's name; safe in shells, and in lists with commas
_MAX_LETTERS = 40  # of a value in a folder's name
_EXAMPLE = "--sweep=pretrain.optimizer.learning_rate=0.05,0.1,0.2"
_WORDS = {"true": True, "false": False}


class SweepError(FailedError):
    """Some cells of a sweep failed; the others are done."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One study of a sweep.

    Attributes:
      name: of its folder below the sweep's; no two cells of a sweep have the same.
      values: dotted name of each swept field → its value here.
      recipe: with these values.
    """

    name: str
    values: Mapping[str, Any]
    recipe: Recipe

    @property
    def flags(self) -> list[str]:
        """The flags that set these values in a single study."""
        return [f"--config.{name}={value}" for name, value in self.values.items()]


def parse_sweeps(texts: Iterable[str]) -> dict[str, list[str]]:
    """What --sweep says, e.g. `pretrain.total_steps=100,200`: field → values as text.

    A comma within brackets or quotes belongs to a value.

    Raises:
      RecipeError: where a text is anything else, or names a field again.
    """
    over: dict[str, list[str]] = {}
    for text in texts:
        field, equals, values = text.partition("=")
        field = field.strip().removeprefix("--").removeprefix("config.")
        if not equals or not field or not values.strip():
            raise RecipeError(f"--sweep is FIELD=VALUE,VALUE, as in {_EXAMPLE}; got {text!r}")
        if field in over:
            raise RecipeError(
                f"--sweep: {field} is there twice; give all of its values at once, as in {_EXAMPLE}"
            )
        over[field] = _split(values)
    return over


def _split(values: str) -> list[str]:
    """At the commas outside brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in values:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        else:
            depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def plan_sweep(recipe: Recipe, over: Mapping[str, Sequence[Any]]) -> list[Cell]:
    """The cells of a grid, the last field changing fastest; all recipes are checked.

    Args:
      recipe: that the swept fields are set in.
      over: dotted name of a field → its values: of the field's type, or as text as a flag has them.

    Raises:
      RecipeError: where there is no such field, a value cannot be, or is there twice.
    """
    if not over:
        raise RecipeError(f"a sweep needs a field and its values, as in {_EXAMPLE}")
    typed = {field: _typed(recipe, field, values) for field, values in over.items()}
    titles = _titles(list(typed))
    cells = []
    for combination in itertools.product(*typed.values()):
        values = dict(zip(typed, combination, strict=True))
        name = _BETWEEN.join(f"{titles[field]}={_safe(value)}" for field, value in values.items())
        cells.append(Cell(name, values, _with_fields(recipe, values)))
    return cells


def _typed(recipe: Recipe, field: str, values: Sequence[Any]) -> list[Any]:
    """Values of the type that a field has, each once."""
    if isinstance(values, str) or not values:
        raise RecipeError(f"sweep over {field}: expected several values, got {values!r}")
    found = []
    for value in values:
        as_typed = _value(recipe, field, value)
        if as_typed in found:
            raise RecipeError(f"sweep over {field}: {value!r} is there twice")
        found.append(as_typed)
    return found


def _value(recipe: Recipe, field: str, value: Any) -> Any:
    """A value as the recipe holds it."""
    names, card = _names(field), ConfigDict(recipe.to_dict())
    add_field(card, names)
    holder = card
    for name in names[:-1]:
        holder = holder[name]
    kind = holder.get_type(names[-1])
    if issubclass(kind, ConfigDict):
        raise RecipeError(
            f"sweep over {field}: it holds fields, sweep over one of these: "
            f"{', '.join(holder[names[-1]]) or 'it has none'}"
        )
    if isinstance(value, str) and kind is not str:
        value = _literal(value)
    if kind is bool and not isinstance(value, bool):
        raise RecipeError(f"sweep over {field}: expected True or False, got {value!r}")
    try:
        set_field(card, names, value)
    except RecipeError as error:
        raise RecipeError(f"sweep over {field}: expected {kind.__name__}, got {value!r}") from error
    return holder[names[-1]]


def _literal(text: str) -> Any:
    try:
        return _WORDS[text.lower()] if text.lower() in _WORDS else ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _names(field: str) -> list[str]:
    """Of a dotted name; one with other signs stands in brackets, as in `arms["my-arm"]`."""
    try:
        return list(config_path.split(field))
    except (TypeError, ValueError) as error:
        raise RecipeError(
            f"sweep over {field!r}: expected names with dots between, as in {_EXAMPLE}"
        ) from error


def _with_fields(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    card = ConfigDict(recipe.to_dict())
    for field, value in values.items():
        set_field(card, _names(field), value)
    try:
        return Recipe.from_config(card)
    except RecipeError as error:
        told = ", ".join(f"{field}={value}" for field, value in values.items())
        raise RecipeError(f"sweep, at {told}: {error}") from error


def _titles(fields: Sequence[str]) -> dict[str, str]:
    """Field → as many of the last parts of its name as tell it from the other fields."""
    parts = {field: _names(field) for field in fields}
    for depth in range(1, max(map(len, parts.values())) + 1):
        titles = {field: ".".join(map(str, names[-depth:])) for field, names in parts.items()}
        if len(set(titles.values())) == len(fields):
            break
    return {field: _safe(title) for field, title in titles.items()}


def _safe(value: Any) -> str:
    """A value in a folder's name; where it is changed for that, digits tell it from others."""
    text = str(value)
    plain = re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).strip("-")
    plain = f"-{plain}" if text.startswith("-") else plain
    if plain == text and len(text) <= _MAX_LETTERS:
        return text
    return f"{plain[:_MAX_LETTERS]}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def check_cells(cells: Sequence[Cell], workdir: pathlib.Path) -> None:
    """Makes sure that a folder can hold these cells, and writes nothing.

    Raises:
      RunError: where it is a study's own folder, or one of a cell's belongs to another recipe.
    """
    from fine2coarse.studies.study import check_study  # imports TensorFlow

    if (workdir / RECIPE).is_file():
        raise RunError(
            f"{workdir} holds a study of its own, and a sweep's studies lie below its folder; give "
            "the sweep another --workdir"
        )
    for cell in cells:
        check_study(cell.recipe, workdir / cell.name)


def share_of_cells(
    cells: Sequence[Cell],
    arms: Sequence[str] = (),
    seeds: Sequence[int] = (),
    shard: tuple[int, int] = (0, 1),
) -> dict[str, list[Run]]:
    """Cell's name → the runs that one process shall do there, as `select_runs` of all cells' runs.

    Raises:
      RecipeError: on an arm or seed that a cell has not.
    """
    every = [
        (cell.name, run)
        for cell in cells
        for run in select_runs(plan_runs(cell.recipe), arms, seeds)
    ]
    index, count = shard
    found: dict[str, list[Run]] = {cell.name: [] for cell in cells}
    for name, run in every[index::count]:
        found[name].append(run)
    return found


def are_finished(workdir: pathlib.Path, runs: Iterable[Run]) -> bool:
    """Whether all of these runs of a study are finished, whoever did them."""
    return all(is_finished(workdir, (run.arm, run.seed)) for run in runs)


def note_cells(workdir: pathlib.Path, cells: Sequence[Cell]) -> None:
    """Notes in `sweep.json` which cells a sweep has; those of earlier calls stay."""
    known = {cell["name"]: cell for cell in noted_cells(workdir)}
    now = known | {cell.name: {"name": cell.name, "values": dict(cell.values)} for cell in cells}
    if now != known:
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(workdir / SWEEP, {"cells": list(now.values())})


def noted_cells(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """`name` and `values` of every cell of a sweep's folder, in the order they were begun."""
    path = workdir / SWEEP
    return read_json(path)["cells"] if path.is_file() else []
