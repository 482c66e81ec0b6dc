"""A study from a pack is the study from its dataset, bit for bit."""

from __future__ import annotations

import pytest

import fine2coarse
from fine2coarse.packs.packing import pack_images
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.runs.phase_folder import RunError


@pytest.mark.slow
@pytest.mark.parametrize("kind", [None, "encoded"])
def test_the_weights_are_the_same(tmp_path, kind):
    card = fine2coarse.load_config("demo:smoke", {"transfer_candidates": "off"})
    recipe, data_dir = Recipe.from_config(card), str(tmp_path / "data")
    pack_images(recipe, tmp_path / "pack", data_dir, kind)
    how = {"arms": ["fine"], "report": False}
    fine2coarse.run_study(recipe, tmp_path / "a", data_dir=data_dir, **how)
    packed = {"data_dir": tmp_path / "none", "packed": tmp_path / "pack"}
    fine2coarse.run_study(recipe, tmp_path / "b", **packed, **how)
    names = sorted(path.relative_to(tmp_path / "a") for path in tmp_path.glob("a/**/*.weights.h5"))
    assert [name.parts[-2] for name in names] == ["pretrain", "transfer"]
    for name in (*names, "data.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not (tmp_path / "none").exists()
    # The dataset goes on where the pack ended, and the other way round.
    fine2coarse.run_study(recipe, tmp_path / "b", data_dir=data_dir, **how)


@pytest.mark.slow
def test_other_pixels_are_other_runs(tmp_path):
    card = fine2coarse.load_config("demo:smoke", {"transfer_candidates": "off"})
    recipe, data_dir = Recipe.from_config(card), str(tmp_path / "data")
    pack_images(recipe, tmp_path / "pack", data_dir, "squares", 24)
    how = {"data_dir": data_dir, "arms": ["baseline"], "report": False}
    fine2coarse.run_study(recipe, tmp_path / "w", packed=tmp_path / "pack", **how)
    with pytest.raises(RunError, match="packed_pixels"):
        fine2coarse.run_study(recipe, tmp_path / "w", **how)
