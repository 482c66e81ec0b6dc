"""Flags that say what to study: a card, its fields, and whether transfers are tried."""

from __future__ import annotations

from absl import flags

from fine2coarse.cli.card_flag import CONFIG
from fine2coarse.recipes.recipe import Recipe

TRANSFER_CANDIDATES = flags.DEFINE_enum(
    "transfer_candidates",
    None,
    ["auto", "off"],
    "auto: several transfers are tried, the best on held-out training images counts; off: one "
    "fixed transfer. Default: what the recipe says.",
)


def read_recipe() -> Recipe:
    """The recipe of --config and the flags that change it.

    Raises:
      RecipeError: naming the key at fault.
    """
    content = CONFIG.value.to_dict()
    if TRANSFER_CANDIDATES.value is not None:
        content["transfer_candidates"] = TRANSFER_CANDIDATES.value
    return Recipe.from_config(content)
