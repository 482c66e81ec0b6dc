"""Thumbnails for a report's gallery, from the prepared data that its study was tested on."""

import functools
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fine2coarse.cli.program import DATA_DIR
from fine2coarse.cli.startup import start_tensorflow


def image_reader(
    workdirs: Sequence[pathlib.Path],
) -> Callable[[Sequence[str]], Mapping[str, bytes]] | None:
    """Reads a study's test images as JPEG thumbnails; None where its data is not prepared here.

    Neither TensorFlow nor the data is touched before the first image is asked for.
    """
    given = [folder for folder in (DATA_DIR.value, os.environ.get("TFDS_DATA_DIR")) if folder]
    for workdir in workdirs:
        tested = next(workdir.glob("runs/*-seed*/*/predictions.npz"), None)
        if tested is None:
            continue
        names = _read_json(tested.with_name("recipe.json")).get("dataset_name", "").split("+")
        for folder in (*map(pathlib.Path, given), workdir / "data"):
            if all(name and (folder / name / "dataset_info.json").is_file() for name in names):
                return functools.partial(_read, _read_json(workdir / "recipe.json"), str(folder))
    return None


def _read(recipe: Mapping[str, Any], data_dir: str, ids: Sequence[str]) -> Mapping[str, bytes]:
    start_tensorflow()
    from fine2coarse.datasets.open import open_dataset
    from fine2coarse.input.thumbnails import jpeg_thumbnails
    from fine2coarse.studies.study_data import open_examples

    spec = recipe.get("evaluation") or recipe.get("transfer_dataset") or recipe["dataset"]
    split = spec.get("split") or spec["eval_split"]
    dataset = open_dataset(spec["name"], spec["options"], data_dir)
    return jpeg_thumbnails(open_examples(dataset, split, "disk"), ids)


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
