"""Files and levels that a recipe names are missed before any data is prepared."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from fine2coarse.cards import load_card
from fine2coarse.errors import UsageError
from fine2coarse.recipes.dataset_options import DATASET_OPTIONS
from fine2coarse.recipes.label_card import LabelCard
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.studies import before_data
from fine2coarse.studies.open_study import open_study
from fine2coarse.studies.run_plan import Run


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> pathlib.Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(card: str = "demo:smoke", **changes) -> Recipe:
    content = load_card(card).to_dict()
    return Recipe.from_config({**content, **changes})


def arm(source: str, **options) -> dict:
    return {"a": {"source": source, "options": options}}


def level(name: str) -> dict:
    return {"source": "level", "options": {"level": name}}


@pytest.mark.parametrize("card", ["label_sources:smoke", "imagenet21k_mini:data"])
def test_embeddings_are_missed_before_anything_is_prepared(folder, card):
    with pytest.raises(UsageError) as error:
        open_study(recipe(card), str(folder / "data"))
    (told,) = str(error.value).splitlines()
    path = "runs/e_demo.npy" if "label" in card else "runs/mini/e.npy"
    assert (
        told.startswith("arm '") and f"embeddings={path}: there is no such file in {folder}" in told
    )
    assert f"fine2coarse embed --config=CARD --run=RUN --out={path}" in told
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        (arm("file", path="no.npz"), "arm 'a': path=no.npz: .* label_space --config=labels:SOURCE"),
        (arm("corrupted", share=0.1, base={"source": "file", "options": {"path": "no.npz"}}),
         "arm 'a': base: path=no.npz"),
        (arm("random", like=arm("file", path="/no.npz")["a"]),
         "arm 'a': like: path=/no.npz: there is no such file;"),
        (arm("clusters", embeddings="e.npy", centroids="c.npz"), "'a': centroids=c.npz: .* FILE"),
        (arm("clusters", embeddings="e.npy", num_clusters=2, ids="ids.txt"), "'a': ids=ids.txt"),
        (arm("level", level="midle"), "demo: unknown level 'midle'; did you mean 'middle'"),
        (arm("size_matched", base=level("x"), num_images_total=9), "base: demo: unknown level"),
        (arm("random", as_many_as_level="x"), "unknown level 'x'; there are: fine"),
    ],
)  # fmt: skip
def test_every_file_and_level_is_looked_for(folder, arms, message):
    np.save(folder / "e.npy", np.zeros((2, 2), np.float32))
    (folder / "e.npy.ids.txt").write_text("a\nb\n")
    with pytest.raises(UsageError, match=message):
        before_data.check_recipe(recipe(arms=arms))


def test_levels_by_hops_and_depth_are_looked_for_as_far_as_they_are_known(folder):
    before_data.check_recipe(recipe(arms={"a": level("hops:2"), "b": level("depth:0")}))
    has = "this taxonomy has .*'superclass'.*, hops:0 to hops:2 and depth:0 to depth:2"
    with pytest.raises(UsageError, match=rf"arm 'a': demo: unknown level 'depth:3'; {has}"):
        before_data.check_recipe(recipe(arms={"a": level("depth:3")}))
    (folder / "edges.csv").write_text("parent,child\na,b\nb,c\nb,d\n")
    options = {"name": "cifar100", "taxonomy": str(folder / "edges.csv")}
    assert before_data.known_levels("tfds", options).levels == ("0", "1", "2")
    task = {"name": "tfds", "options": options}
    before_data.check_recipe(recipe(transfer_dataset=task, target=level("depth:1")))
    with pytest.raises(UsageError, match=r"target: tfds: unknown level 'genus'.* depth:K"):
        before_data.check_recipe(recipe(transfer_dataset=task, target=level("genus")))


def test_only_the_runs_that_are_wanted_count(folder):
    both = recipe(arms={**arm("file", path="no.npz"), "b": level("fine")})
    before_data.check_recipe(both, [Run("b", 0), Run("baseline", 0)])
    with pytest.raises(UsageError, match="arm 'a'"):
        before_data.check_recipe(both, [Run("a", 0)])


def test_the_level_of_a_target_is_that_of_its_own_dataset():
    task = {"name": "inat2021", "options": {}}
    found = recipe(transfer_dataset=task, target=level("genus"))
    before_data.check_recipe(found)
    with pytest.raises(UsageError, match="target: inat2021: unknown level 'genuss'; did you mean"):
        before_data.check_recipe(recipe(transfer_dataset=task, target=level("genuss")))


def test_levels_of_each_dataset(folder):
    (folder / "photos").mkdir()
    (folder / "photos" / "taxonomy.csv").write_text("breed,animal\na,x\nb,y\n")
    known = {name: before_data.known_levels(name, {}).levels for name in DATASET_OPTIONS}
    assert known["imagenet21k"] == tuple(map(str, range(13)))
    assert known["inat2021"][:2] == ("species", "genus")
    assert known["demo"] == ("fine", "middle", "superclass")
    assert known["folder"] == known["tfds"] == ()
    assert before_data.known_levels("folder", {"source": "photos"}).levels == ("breed", "animal")
    assert before_data.known_levels("folder", {"source": "photos", "flat": True}).levels == ()
    assert before_data.known_levels("folder", {"source": "gone"}).levels == ()


def test_levels_are_read_once_for_all_arms(folder, monkeypatch):
    (folder / "photos").mkdir()
    (folder / "photos" / "taxonomy.csv").write_text("breed,animal\na,x\nb,y\n")
    read, paths = before_data.taxonomy_of_folder, []
    monkeypatch.setattr(
        before_data, "taxonomy_of_folder", lambda path: paths.append(path) or read(path)
    )
    study = recipe("folder:photos")
    before_data.check_recipe(study)
    assert paths == [pathlib.Path("photos")]
    (folder / "photos" / "taxonomy.csv").unlink()  # nor is what cannot be read tried again
    before_data.check_recipe(study)
    assert paths == [pathlib.Path("photos")] * 2


def test_a_label_spaces_card():
    content = load_card("labels:clusters").to_dict()
    content["dataset"]["name"] = "demo"
    content["label"]["options"] |= {"embeddings": "e.npy", "num_clusters": 2}
    with pytest.raises(UsageError, match=r"label: embeddings=e\.npy: there is no such file"):
        before_data.check_card(LabelCard.from_config(content))
    content = load_card("labels:level").to_dict()
    content["dataset"]["name"] = "demo"
    content["label"]["options"]["level"] = "fin"
    with pytest.raises(UsageError, match="label: demo: unknown level 'fin'; did you mean 'fine'"):
        before_data.check_card(LabelCard.from_config(content))


def test_a_split_that_no_shard_is_named_after_is_missed_before_labels_are_read(folder):
    (folder / "shards").mkdir()
    for name in ("a-train-0.tar", "a-validation-0.tar"):
        (folder / "shards" / name).write_bytes(b"")
    dataset = {"name": "webdataset", "options": {"source": "shards"}}
    with pytest.raises(UsageError, match=r"eval_split=test: .* but train, val; name another by"):
        before_data.check_recipe(recipe(dataset=dataset))
    before_data.check_recipe(recipe(dataset={**dataset, "eval_split": "val[:50%]"}))
    held_out = {**dataset, "options": {"source": "shards", "test_share": 0.1}}
    before_data.check_recipe(recipe(dataset=held_out))
    gone = {**dataset, "options": {"source": "gone"}}
    before_data.check_recipe(recipe(dataset=gone))  # told when it is prepared


def test_levels_of_shards_are_those_of_their_labels(folder):
    dataset = {"name": "parquet", "options": {"source": "gone", "label_columns": ("breed", "kind")}}
    with pytest.raises(UsageError, match=r"parquet: unknown level 'kid'; did you mean 'kind'"):
        before_data.check_recipe(recipe(dataset=dataset, target=level("kid"), arms={}))
