"""Pictures for a report from a pack."""

from __future__ import annotations

import io

from PIL import Image

from fine2coarse.files import write_json
from fine2coarse.studies.tested_images import image_reader
from tests.packs.conftest import photographs

__all__ = ["photographs"]


def test_pictures_come_from_the_pack_of_the_same_images(photographs, tmp_path):
    recipe, workdir = photographs.recipe("mixed"), tmp_path / "study"
    packs = [tmp_path / "even", tmp_path / "mixed"]
    photographs.pack(packs[0], photographs.recipe("even"))
    dataset = photographs.pack(packs[1], recipe, "shorter_side", 9).dataset("dataset")
    phase = workdir / "runs/fine-seed0/transfer"
    phase.mkdir(parents=True)
    (phase / "predictions.npz").touch()
    told = {"dataset_name": dataset.name, "dataset_fingerprint": dataset.fingerprint}
    write_json(phase / "recipe.json", told)
    write_json(workdir / "recipe.json", recipe.stored())
    assert image_reader([workdir], packs[:1]) is None
    ids = list(dataset.index("test").image_ids)
    found = image_reader([workdir], packs)([ids[1], "of no image"])
    height, width, _ = dataset.images("test").decoded(1).shape
    assert list(found) == [ids[1]]
    assert Image.open(io.BytesIO(found[ids[1]])).size == (width, height)
