"""A folder of photographs of three sizes, prepared once."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from fine2coarse.packs.pack import Pack
from fine2coarse.packs.packing import pack_images
from fine2coarse.recipes.recipe import Recipe
from tests.packs.photographs import recipe_of, write_photographs

SIZES = [(12, 10), (9, 20), (8, 8)]


@dataclasses.dataclass(frozen=True)
class Photographs:
    """Where photographs and their prepared data lie."""

    root: pathlib.Path

    @property
    def data_dir(self) -> str:
        return str(self.root / "data")

    def recipe(self, name: str = "mixed", crop: str = "none", **changes) -> Recipe:
        return recipe_of(self.root / name, crop, **changes)

    def pack(self, out: pathlib.Path, recipe: Recipe | None = None, *how) -> Pack:
        return pack_images(recipe or self.recipe(), out, self.data_dir, *how)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Photographs:
    """`mixed` are of several sizes, `even` of one."""
    root = tmp_path_factory.mktemp("photographs")
    write_photographs(root / "mixed", SIZES, "png")
    write_photographs(root / "even", [(6, 9)], "png")
    return Photographs(root)
