"""The card of one's own photographs: levels from taxonomy.csv, target, and the small form."""

from __future__ import annotations

import shutil

import pytest

from fine2coarse.cards import load_card
from fine2coarse.errors import RecipeError
from fine2coarse.recipes.recipe import Recipe


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "taxonomy.csv").write_text("species,genus,family\na,x,z\nb,y,z\n")
    return folder


def recipe(text: str) -> Recipe:
    return Recipe.from_config(load_card(text))


def test_levels_are_read_from_the_folder(photos):
    found = recipe("folder:photos")
    assert found.target.level == "genus"
    assert list(found.arms) == ["family", "per_image", "random", "species"]
    assert found.arms["random"].label.as_many_as_level == "species"
    assert found.dataset.options == {"source": "photos"}
    assert recipe("folder:photos@family").target.level == "family"


def test_the_target_may_be_a_level_by_depth(photos):
    (photos / "taxonomy.csv").write_text("parent,child\nz,x\nz,y\nx,a\nx,c\ny,b\n")
    found = recipe("folder:photos@depth:1")
    assert found.target.level == "depth:1"
    assert list(found.arms) == ["0", "1", "2", "per_image", "random"]
    with pytest.raises(RecipeError, match=r"unknown level 'deep:1'; .*0, 1, 2, hops:K, depth:K"):
        recipe("folder:photos@deep:1")


def test_they_may_be_given_instead(photos):
    by_name = recipe("folder:species,genus,family@genus,small").to_dict()
    by_path = recipe("folder:photos@genus,small").to_dict()
    assert by_name["dataset"]["options"] == {}
    assert by_path.pop("dataset") and by_name.pop("dataset")
    assert by_name == by_path


def test_a_folder_may_be_called_like_a_level(photos, tmp_path):
    (tmp_path / "species").mkdir()
    assert recipe("folder:species,genus,family@genus").target.level == "genus"


def test_the_small_form_suits_a_handful_of_photographs(photos):
    small, full = recipe("folder:photos,small"), recipe("folder:photos")
    assert (small.seeds, full.seeds) == ((0,), (0, 1, 2))
    assert (small.pretrain.batch_size, small.transfer.batch_size) == (16, 16)
    assert small.pretrain.total_steps + small.transfer.total_steps == 80
    assert set(full.arms) - set(small.arms) == {"per_image"}


def test_an_archive_and_a_path_with_signs(photos, tmp_path):
    shutil.make_archive(str(tmp_path / "a@b,c"), "zip", tmp_path, "photos")
    assert recipe("folder:a@b,c.zip@family,small").target.level == "family"
    assert recipe("folder:a@b,c.zip").dataset.options == {"source": "a@b,c.zip"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("folder:photo,small", "'photo': no such folder .* relative to the working directory"),
        ("folder:photos,smal", "'photos,smal': no such folder .* did you mean ,small"),
        ("folder:photos@gens", "unknown level 'gens'; did you mean 'genus'"),
        ("folder:a,b@c", "unknown level 'c'; there are: a, b"),
        ("folder:empty", "empty: no taxonomy.csv"),
    ],
)
def test_mistakes(photos, tmp_path, text, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match=message):
        load_card(text)
