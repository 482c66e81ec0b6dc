"""The flag --config: a recipe card, every field of which can be set by a flag."""

import ast
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags
from ml_collections.config_flags import config_path
from ml_collections.config_flags.config_flags import ConfigFileFlagParser

from fine2coarse.cards import find_card
from fine2coarse.errors import UsageError

_NAME = "config"
_BROKEN = "Error whilst parsing config file:"  # ml_collections' words before a whole traceback
_OVERRIDE = re.compile(rf"--?(?:no)?{_NAME}\.([^=]+)(?:=(.*))?", re.DOTALL)


def define_config(values: flags.FlagValues = flags.FLAGS) -> flags.FlagHolder:
    """Defines --config=CARD[:ARGUMENT] and --config.FIELD=VALUE.

    A field need not be in the card: see `card.add_field`.

    Args:
      values: the flags to define it among.
    """
    holder = config_flags.DEFINE_config_file(
        _NAME,
        None,
        "Recipe card: a name such as demo, or a file. A field: --config.pretrain.total_steps=500.",
        lock_config=True,
        flag_values=values,
    )
    values[_NAME].parser = _CardParser(_NAME)
    return holder


def given_fields(values: flags.FlagValues = flags.FLAGS) -> dict[str, Any]:
    """Name, as in 'dataset.options.source', and value of every field that a flag set."""
    given = config_flags.get_override_values(values[_NAME])
    return {".".join(config_path.split(name)): value for name, value in given.items()}


class _CardParser(ConfigFileFlagParser):
    """Loads a card, and adds the fields that flags set and the card leaves out."""

    def parse(self, path: str) -> Any:
        """The card of FILE[:ARGUMENT] or NAME[:ARGUMENT], as `cards.find_card` finds it.

        Raises:
          UsageError: where the card refuses the argument, or a flag sets what is no field, or one
            element of a tuple.
        """
        file, argument = find_card(path)
        try:
            card = super().parse(f"{file}:{argument}" if argument else str(file))
        except (TypeError, ValueError) as error:
            if not str(error).startswith(_BROKEN) or os.environ.get("FINE2COARSE_TRACEBACK"):
                raise
            raise UsageError(str(error).strip().splitlines()[-1].partition(": ")[2]) from error
        if isinstance(card, ConfigDict):  # else a file that could not be read: told when used
            for name, value in _overrides():
                _make_settable(card, name, value)
            card.lock()
        return card


def _overrides() -> Iterator[tuple[str, str | None]]:
    """What flags set: field and value, None where the value is an argument of its own."""
    for argument in flags.FLAGS.read_flags_from_files(sys.argv[1:], force_gnu=False):
        match = _OVERRIDE.fullmatch(argument)
        if match:
            yield match[1], match[2]


def _make_settable(card: ConfigDict, name: str, value: str | None) -> None:
    try:
        parts = config_path.split(name)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"--config.{name}: expected names with dots between, as in "
            "--config.pretrain.total_steps=500; a name with other signs stands in brackets: "
            '--config.arms["my-arm"].pretrain_steps=500'
        ) from error
    depth = next((i for i, part in enumerate(parts) if not isinstance(part, str)), len(parts))
    if not _is_there(card, parts[:depth], value):
        from fine2coarse.recipes.card import add_field

        add_field(card, parts[:depth])
    if depth < len(parts):
        raise UsageError(_index_message(name, parts[depth:], _value_at(card, parts[:depth]), value))


def _is_there(card: ConfigDict, names: Sequence[str], value: str | None) -> bool:
    """Whether a card has a field, of a type that can take the value."""
    kind, holder = ConfigDict, card
    for name in names:
        if not isinstance(holder, ConfigDict) or name not in holder:
            return False
        kind, holder = holder.get_type(name), holder[name]
    if kind is int:  # perhaps a number that the card wrote without its point
        return bool(re.fullmatch(r"[+-]?\d+", value or ""))
    return kind in (str, bool, float, tuple, ConfigDict)


def _value_at(card: ConfigDict, names: Sequence[str]) -> Any:
    for name in names:
        card = card[name]
    return card


def _index_message(name: str, rest: Sequence[Any], now: Any, text: str | None) -> str:
    """What is wrong with an index, and what to write instead."""
    whole = name.partition("[")[0]
    if now is not None and not isinstance(now, tuple):
        return f"--config.{name}: {whole} is no tuple; leave out what stands in brackets"
    new, index = list(now or ()), rest[0]
    if text is not None and len(rest) == 1 and isinstance(index, int):
        if not new and index == 0:
            new = [_literal(text)]
        elif -len(new) <= index < len(new):
            new[index] = _literal(text)
    return (
        f"--config.{name}: an element of a tuple cannot be set alone; {whole} has "
        f'{len(now or ())} now, write all of them: --config.{whole}="{tuple(new)!r}"'
    )


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
