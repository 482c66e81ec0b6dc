"""Recipe cards: the Python files that hold a recipe, found by name or by path.

They lie in `configs/` of a checkout, and inside the package once it is installed.
"""

from __future__ import annotations

import importlib.util
import pathlib
import re
from typing import TYPE_CHECKING

from fine2coarse.errors import RecipeError
from fine2coarse.nearest import unknown
from fine2coarse.paths import expand

if TYPE_CHECKING:
    from ml_collections import ConfigDict

_HERE = pathlib.Path(__file__).parent


def folder_of(name: str) -> pathlib.Path:
    """Where the files of `configs` or of `launch` lie: in the package, or beside it.

    Args:
      name: 'configs' or 'launch'.
    """
    installed = _HERE / name
    return installed if installed.is_dir() else _HERE.parent / name


def card_names() -> tuple[str, ...]:
    """Names of the cards that come with the package, such as 'demo'."""
    return tuple(sorted(path.stem for path in folder_of("configs").glob("[a-z]*.py")))


def find_card(text: str) -> tuple[pathlib.Path, str]:
    """The file of a card, and its argument.

    Args:
      text: FILE[:ARGUMENT] or NAME[:ARGUMENT], as in 'configs/demo.py:smoke' or 'demo'. In FILE,
        `~` and variables are expanded; a file of that name comes before a card that is shipped.

    Raises:
      RecipeError: where there is no such file and no such card.
    """
    name, _, argument = text.partition(":")
    name = expand(name)
    path = pathlib.Path(name)
    if path.is_file():
        return path, argument
    if re.fullmatch(r"[\w-]+", name):
        if name in card_names():
            return folder_of("configs") / f"{name}.py", argument
        raise RecipeError(f"{unknown('card', name, card_names())}, or give the path of a file")
    raise RecipeError(
        f"there is no file {name}; expected the path of a recipe card, or the name of one that is "
        f"shipped: {', '.join(card_names())}"
    )


def load_card(text: str) -> ConfigDict:
    """What a card holds, as a locked ConfigDict.

    Args:
      text: as in `find_card`.

    Raises:
      RecipeError: where there is no such card, or it refuses its argument.
    """
    path, argument = find_card(text)
    spec = importlib.util.spec_from_file_location(f"fine2coarse_card_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{path}: expected a Python file with a function get_config")
    card = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(card)
    if not callable(getattr(card, "get_config", None)):
        raise RecipeError(f"{path}: expected a function get_config, as in the card 'demo'")
    try:
        return card.get_config(argument) if argument else card.get_config()
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{path}: {error}") from error
