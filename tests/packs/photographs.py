"""A folder of generated photographs, prepared, and recipes that read it."""

from __future__ import annotations

import io
import pathlib
from typing import Any

import numpy as np
from PIL import Image

from fine2coarse.recipes.recipe import Recipe

CLASSES = ("apple", "leek", "pear")


def write_photographs(folder: pathlib.Path, sizes: list[tuple[int, int]], file_type: str) -> None:
    """Six training and three test images of three classes; their sizes (height, width) in turn."""
    numbers = iter(range(100))
    for split, count in (("train", 2), ("test", 1)):
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                place = next(numbers)
                generator = np.random.default_rng(place)
                pixels = generator.integers(0, 256, (*sizes[place % len(sizes)], 3), np.uint8)
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, file_type)
                path = folder / split / name / f"{split}{number}.{file_type}"
                path.write_bytes(buffer.getvalue())
    (folder / "taxonomy.csv").write_text("fine,coarse\npear,f\nleek,v\napple,f\n")


def stored_file(folder: pathlib.Path, image_id: str) -> bytes:
    """The file of an image by its id, as in 'train/pear/train0.png'."""
    return (folder / image_id).read_bytes()


def recipe_of(folder: pathlib.Path, crop: str = "none", **changes: Any) -> Recipe:
    """A recipe of 8 px on a folder of photographs."""
    phase = {"total_steps": 1, "batch_size": 3, "augment": {"crop": crop, "shift_px": 1}}
    content = {
        "dataset": {"name": "folder", "options": {"source": str(folder)}},
        "target": {"source": "level", "options": {"level": "coarse"}},
        "arms": {"fine": {"source": "level", "options": {"level": "fine"}}},
        "seeds": [0],
        "backbone": {"name": "resnet_tiny", "image_size_px": 8},
        "pretrain": phase,
        "transfer": phase,
        "transfer_candidates": "off",
    }
    return Recipe.from_config({**content, **changes})
