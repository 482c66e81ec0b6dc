"""What lies in a pack's folder, and which images of a recipe a pack holds."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fine2coarse.errors import UsageError
from fine2coarse.recipes.recipe import DatasetSpec, EvaluationSpec, Recipe

VERSION = 1
PACK = "pack.json"
# Height × width × 3 pixels, or pixels or files one after another with their offsets and shapes.
PIXELS, OFFSETS, SHAPES = "pixels.npy", "offsets.npy", "shapes.npy"
IDS, LABELS, HARD, DIGESTS = "ids.npy", "labels.npy", "hard.npy", "digests.npy"
EVEN, RAGGED, FILES = "even", "ragged", "files"
"""How a split's images lie in its arrays."""

STORED, SQUARES, SHORTER_SIDE, ENCODED = "stored", "squares", "shorter_side", "encoded"
CHOICES = (SQUARES, SHORTER_SIDE, ENCODED)
# The shorter side that ImageNet's images are mostly resized to, for crops of 224 px:
# Krizhevsky et al., NeurIPS 2012, section 2.
_SHORTER_SIDE_OVER_CROP = 256 / 224


class PackError(UsageError):
    """A pack that is missing, damaged, or holds other images than those asked for."""


@dataclasses.dataclass(frozen=True)
class Pixels:
    """What becomes of the pixels of a recipe's images in a pack.

    Attributes:
      kind: 'stored', unchanged, for images of one size; 'squares', the largest central square
        resized, as images are evaluated; 'shorter_side', larger images shrunk until their shorter
        side is `size_px`; 'encoded', the bytes of the stored files.
      size_px: of the square, or of the shorter side; 0 of the others.
    """

    kind: str
    size_px: int = 0

    @property
    def changed(self) -> str:
        """What to call pixels that were changed in this way, e.g. 'squares 64 px'."""
        return f"{self.kind.replace('_', ' ')} {self.size_px} px" if self.size_px else ""

    def __str__(self) -> str:
        """For people to read."""
        return self.changed or {STORED: "pixels as they are stored", ENCODED: "encoded"}[self.kind]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The images that a recipe reads of one dataset.

    Attributes:
      spec: the dataset as the recipe names it.
      splits: of it, in the recipe's own words, as in `train[:50%]`.
    """

    spec: DatasetSpec | EvaluationSpec
    splits: tuple[str, ...]

    def named(self) -> dict[str, Any]:
        """Name and those options that say which images; JSON-able."""
        spec = self.spec.normalised()
        return {"name": spec.name, "options": json.loads(json.dumps(spec.options))}


def wanted_images(recipe: Recipe) -> dict[str, Wanted]:
    """Field of the recipe → what a study reads of the dataset that it names."""
    tested = [] if recipe.evaluation else [(recipe.transfer_dataset or recipe.dataset).eval_split]
    found = {}
    for field in ("dataset", "transfer_dataset"):
        spec = getattr(recipe, field)
        if spec is not None:
            is_task = field == "transfer_dataset" or recipe.transfer_dataset is None
            splits = (spec.train_split, *(tested if is_task else []))
            found[field] = Wanted(spec, tuple(dict.fromkeys(splits)))
    if recipe.evaluation is not None:
        found["evaluation"] = Wanted(recipe.evaluation, (recipe.evaluation.split,))
    return found


def crops_inside(recipe: Recipe) -> bool:
    """Whether some phase, or the test, looks at windows of an image at several scales."""
    phases = (recipe.pretrain, recipe.transfer)
    return bool(recipe.test_crops) or any(phase.augment.crop == "inception" for phase in phases)


def choose_pixels(
    recipe: Recipe, has_even_images: bool, kind: str | None, size_px: int | None
) -> tuple[Pixels, str]:
    """What becomes of the pixels, and why.

    Args:
      recipe: whose image size and augmentation count where nothing is given.
      has_even_images: whether the images of each split are of one size.
      kind: one of `CHOICES`; None for what changes the numbers least.
      size_px: None for that of the recipe's images, of the shorter side 8/7 of it.

    Raises:
      PackError: on a size where none applies.
    """
    why = f"--pixels={kind}"
    if kind is None and size_px is None and has_even_images:
        return Pixels(STORED), "the images of each split are of one size already"
    if kind is None and crops_inside(recipe):
        kind, why = SHORTER_SIDE, "the recipe crops windows of several scales"
    elif kind is None:
        kind, why = SQUARES, "the recipe sees nothing but central squares"
    if kind == ENCODED:
        if size_px is not None:
            raise PackError(
                f"--size_px={size_px} with --pixels=encoded: files keep their size; leave it out, "
                f"or take --pixels={SQUARES} or {SHORTER_SIDE}"
            )
        return Pixels(ENCODED), why
    own = recipe.backbone.image_size_px
    default = own if kind == SQUARES else math.ceil(own * _SHORTER_SIDE_OVER_CROP)
    return Pixels(kind, default if size_px is None else size_px), why


def told_images(datasets: Sequence[Mapping[str, Any]], parts: Sequence[Mapping[str, Any]]) -> str:
    """Datasets with their options and packed splits, for people to read."""
    told = []
    for number, dataset in enumerate(datasets):
        splits = [part["split"] for part in parts if part["dataset"] == number]
        options = "".join(f" {name}={value!r}" for name, value in dataset["options"].items())
        told.append(f"{dataset['name']}{options}: {', '.join(splits)}")
    return "; ".join(told)
