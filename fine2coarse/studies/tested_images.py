"""Thumbnails for a report's gallery, from the prepared data that its study was tested on."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fine2coarse.backend_start import start_tensorflow
from fine2coarse.files import read_json
from fine2coarse.packs.layout import PACK
from fine2coarse.packs.pack import Pack, open_pack


def image_reader(
    workdirs: Sequence[pathlib.Path], data_dirs: Sequence[pathlib.Path] = ()
) -> Callable[[Sequence[str]], Mapping[str, bytes]] | None:
    """Reads a study's test images as JPEG thumbnails; None where its data is not prepared here.

    Neither TensorFlow nor the data is touched before the first image is asked for.

    Args:
      workdirs: folders of studies with the same test images.
      data_dirs: where prepared data may lie besides `data` in a study's folder; or packs.
    """
    for workdir in workdirs:
        tested = next(workdir.glob("runs/*-seed*/*/predictions.npz"), None)
        if tested is None:
            continue
        told = read_json(tested.with_name("recipe.json"))
        names = told.get("dataset_name", "").split("+")
        for folder in (*data_dirs, workdir / "data"):
            if (folder / PACK).is_file():
                pack = open_pack(folder)
                held = {found["fingerprint"] for found in pack.content["datasets"]}
                if set(told["dataset_fingerprint"].split("+")) <= held:
                    return functools.partial(_read_packed, read_json(workdir / "recipe.json"), pack)
            if all(name and (folder / name / "dataset_info.json").is_file() for name in names):
                return functools.partial(_read, read_json(workdir / "recipe.json"), str(folder))
    return None


def _read_packed(recipe: Mapping[str, Any], pack: Pack, ids: Sequence[str]) -> Mapping[str, bytes]:
    from fine2coarse.input.examples import Examples
    from fine2coarse.input.thumbnails import jpeg_thumbnails

    role, split = _tested(recipe)
    dataset = pack.dataset(role)
    index = dataset.index(split)
    examples = Examples(dataset.images(split), index.image_ids, index.labels, index.hard)
    return jpeg_thumbnails(examples, ids)


def _tested(recipe: Mapping[str, Any]) -> tuple[str, str]:
    """The field of a recipe that names what is tested on, and the split."""
    role = next(name for name in ("evaluation", "transfer_dataset", "dataset") if recipe.get(name))
    return role, recipe[role].get("split") or recipe[role]["eval_split"]


def _read(recipe: Mapping[str, Any], data_dir: str, ids: Sequence[str]) -> Mapping[str, bytes]:
    start_tensorflow("reading a prepared dataset")
    from fine2coarse.datasets.open import open_dataset
    from fine2coarse.input.thumbnails import jpeg_thumbnails
    from fine2coarse.studies.storage import stored_examples

    role, split = _tested(recipe)
    spec = recipe[role]
    dataset = open_dataset(spec["name"], spec["options"], data_dir)
    return jpeg_thumbnails(stored_examples(dataset, split), ids)
