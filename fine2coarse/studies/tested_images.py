"""Thumbnails for a report's gallery, from the prepared data that its study was tested on."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fine2coarse.files import read_json
from fine2coarse.tensorflow_start import start_tensorflow


def image_reader(
    workdirs: Sequence[pathlib.Path], data_dirs: Sequence[pathlib.Path] = ()
) -> Callable[[Sequence[str]], Mapping[str, bytes]] | None:
    """Reads a study's test images as JPEG thumbnails; None where its data is not prepared here.

    Neither TensorFlow nor the data is touched before the first image is asked for.

    Args:
      workdirs: folders of studies with the same test images.
      data_dirs: where prepared data may lie besides `data` in a study's folder.
    """
    for workdir in workdirs:
        tested = next(workdir.glob("runs/*-seed*/*/predictions.npz"), None)
        if tested is None:
            continue
        names = read_json(tested.with_name("recipe.json")).get("dataset_name", "").split("+")
        for folder in (*data_dirs, workdir / "data"):
            if all(name and (folder / name / "dataset_info.json").is_file() for name in names):
                return functools.partial(_read, read_json(workdir / "recipe.json"), str(folder))
    return None


def _read(recipe: Mapping[str, Any], data_dir: str, ids: Sequence[str]) -> Mapping[str, bytes]:
    start_tensorflow()
    from fine2coarse.datasets.open import open_dataset
    from fine2coarse.input.thumbnails import jpeg_thumbnails
    from fine2coarse.studies.storage import stored_examples

    spec = recipe.get("evaluation") or recipe.get("transfer_dataset") or recipe["dataset"]
    split = spec.get("split") or spec["eval_split"]
    dataset = open_dataset(spec["name"], spec["options"], data_dir)
    return jpeg_thumbnails(stored_examples(dataset, split), ids)
