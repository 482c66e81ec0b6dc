"""What runs of a study share: images to train and to test on, from one dataset or from two."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import weakref

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.datasets.open import open_dataset
from fine2coarse.errors import RecipeError, UsageError
from fine2coarse.labels.space import LabelSpace
from fine2coarse.labels.spec import LabelSource
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.runs.phase_folder import PhaseFolder, RunError
from fine2coarse.schema import parse
from fine2coarse.studies import arm_spaces
from fine2coarse.studies.open_study import open_study
from fine2coarse.studies.run_phases import pretraining_run
from fine2coarse.studies.study import Study, check_study
from fine2coarse.studies.study_data import StudyData, load_study_data
from fine2coarse.studies.target_arms import notes_on_arms
from fine2coarse.training.engine import make_engine

_CLASSES = ("apple", "leek", "pear")


@pytest.fixture
def photos(tmp_path) -> pathlib.Path:
    """Twelve training and three test images of three classes, and others to test on."""
    for folder, counts in (("own", {"train": 4, "test": 1}), ("other", {"val": 2})):
        for split, count in counts.items():
            for label, name in enumerate(_CLASSES):
                (tmp_path / folder / split / name).mkdir(parents=True)
                for number in range(count):
                    pixels = np.full((8, 8, 3), 60 * label + number, np.uint8)
                    path = tmp_path / folder / split / name / f"{folder}{number}.jpg"
                    path.write_bytes(tf.io.encode_jpeg(pixels).numpy())
    (tmp_path / "own/taxonomy.csv").write_text("fine,coarse\npear,f\nleek,v\napple,f\n")
    return tmp_path


def study_recipe(photos: pathlib.Path, train_fraction: float = 1.0, **changes) -> Recipe:
    phase = {"total_steps": 1, "batch_size": 4}
    options = {"source": str(photos / "own")}
    content = {
        "dataset": {"name": "folder", "options": options, "train_fraction": train_fraction},
        "target": {"source": "level", "options": {"level": "coarse"}},
        "arms": {"fine": {"source": "level", "options": {"level": "fine"}}},
        "seeds": [0],
        "backbone": {"name": "resnet_tiny", "image_size_px": 8},
        "pretrain": phase,
        "transfer": phase,
        "transfer_candidates": "off",
    }
    return Recipe.from_config({**content, **changes})


def study_data(photos: pathlib.Path, recipe: Recipe) -> StudyData:
    data_dir = str(photos / "data")
    specs = (recipe.dataset, recipe.evaluation, recipe.transfer_dataset)
    return load_study_data(
        recipe, *(spec and open_dataset(spec.name, spec.options, data_dir) for spec in specs)
    )


def from_elsewhere(photos: pathlib.Path) -> dict:
    options = {"source": str(photos / "other"), "flat": True}
    return {"name": "folder", "options": options, "split": "val"}


def test_images_from_elsewhere_are_joined_by_class(photos):
    ours = study_data(photos, study_recipe(photos))
    data = study_data(photos, study_recipe(photos, evaluation=from_elsewhere(photos)))
    assert len(data.evaluate) == 6 and len(data.train) == 12
    fruit, vegetable = (data.target.class_ids.index(name) for name in ("f", "v"))
    expected = {"apple": fruit, "leek": vegetable, "pear": fruit}
    targets = data.evaluate.targets(data.target)
    for image_id, target in zip(data.evaluate.image_ids, targets, strict=True):
        assert expected[pathlib.PurePosixPath(image_id).parent.name] == target
    assert data.dataset_fingerprint != ours.dataset_fingerprint


def test_unknown_classes_are_counted(photos):
    (photos / "other/val/leek").rename(photos / "other/val/lynx")
    with pytest.raises(ValueError, match=r"2 images .* 1 classes .* \['lynx'\]"):
        study_data(photos, study_recipe(photos, evaluation=from_elsewhere(photos)))


def test_a_smaller_fraction_is_part_of_a_larger_one(photos):
    half = set(study_data(photos, study_recipe(photos, 0.5)).train.image_ids)
    most = set(study_data(photos, study_recipe(photos, 0.75)).train.image_ids)
    assert (len(half), len(most)) == (6, 9) and half < most


def test_pictures_of_the_test_are_counted_in_training_and_left_out_if_asked(photos):
    copied = (photos / "own/test/pear/own0.jpg").read_bytes()
    (photos / "own/train/pear/again.jpg").write_bytes(copied)
    recipe = study_recipe(photos)
    data = study_data(photos, recipe)
    shown = {(photos / f"own/train/{name}/own0.jpg").read_bytes() for name in _CLASSES}
    num_alike = 1 + len(shown)  # own0.jpg is the same file in train and test
    (overlap,) = data.facts["overlaps"]
    assert (overlap["num_images"], overlap["num_in_test"], overlap["num_dropped"]) == (
        13,
        num_alike,
        0,
    )
    dataset = dataclasses.replace(recipe.dataset, drop_duplicates=True)
    fewer = study_data(photos, dataclasses.replace(recipe, dataset=dataset))
    assert len(data.train) == 13 and len(fewer.train) == 13 - num_alike
    assert "train/pear/again.jpg" not in fewer.train.image_ids
    assert fewer.facts["overlaps"][0]["num_dropped"] == num_alike


def test_a_class_whose_images_are_all_duplicates_is_named(photos):
    for path in (photos / "own/train/leek").iterdir():
        (photos / "own/test/leek" / path.name).write_bytes(path.read_bytes())
    recipe = study_recipe(photos)
    dataset = dataclasses.replace(recipe.dataset, drop_duplicates=True)
    with pytest.raises(ValueError, match=r"drop_duplicates leaves 1 classes .*'v/leek'"):
        study_data(photos, dataclasses.replace(recipe, dataset=dataset))


def test_a_study_whose_images_cannot_be_prepared_has_not_begun(photos):
    """So the command may be mended in the same folder."""
    (photos / "own/train/leek/own1.jpg").write_text("no image")
    recipe, workdir = study_recipe(photos), photos / "study"
    with pytest.raises(ValueError, match=r"max_skipped_share"):
        study = Study(recipe, workdir)
        study.run(study_data(photos, recipe), make_engine("one_device"))
    options = {"source": str(photos / "own"), "max_skipped_share": 0.1}
    dataset = {"name": "folder", "options": options}
    mended = study_recipe(photos, dataset=dataset)
    check_study(mended, workdir)
    Study(mended, workdir)


def test_images_to_choose_on_are_taken_from_all_training(photos):
    recipe = study_recipe(photos, transfer_candidates="auto", transfer_validation_share=0.25)
    data = study_data(photos, recipe)
    assert len(data.held_out) == 3 and len(data.train) == 9 and data.train is data.transfer_train
    assert not set(data.held_out.image_ids) & set(data.train.image_ids)
    with pytest.raises(ValueError, match=r"training images is 0.*transfer_candidates=off"):
        study_data(photos, dataclasses.replace(recipe, transfer_validation_share=0.01))


def test_a_target_made_of_images_labels_those_held_out_too(photos):
    target = {"source": "random", "options": {"num_classes": 2, "aligned": False}}
    recipe = study_recipe(photos, transfer_candidates="auto", transfer_validation_share=0.25)
    data = study_data(
        photos, dataclasses.replace(recipe, target=parse(LabelSource, target), arms=recipe.arms)
    )
    assert set(data.held_out.targets(data.target)) <= {0, 1}


def test_another_dataset_is_without_the_images_held_out(photos):
    own = {"name": "folder", "options": {"source": str(photos / "own")}}
    recipe = study_recipe(
        photos, transfer_dataset=own, transfer_candidates="auto", transfer_validation_share=0.25
    )
    data = study_data(photos, recipe)
    assert len(data.train) == 9 and not set(data.train.image_ids) & set(data.held_out.image_ids)


def test_runs_of_other_images_are_neither_continued_nor_counted(photos):
    recipe = study_recipe(photos)
    fingerprint = study_data(photos, recipe).dataset_fingerprint
    run = photos / "study/runs/fine-seed0/pretrain"
    run.mkdir(parents=True)
    (run / "recipe.json").write_text(json.dumps({"dataset_fingerprint": fingerprint}))
    one, other = (photos / f"own/train/{name}/own1.jpg" for name in ("pear", "leek"))
    held = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(held)
    with pytest.raises(UsageError, match=r"1 runs in .* were made with other images"):
        study = Study(recipe, photos / "study")
        study.run(study_data(photos, recipe), make_engine("one_device"))


def test_an_arm_changed_under_its_name_is_refused_before_any_file_changes(photos):
    recipe, workdir = study_recipe(photos), photos / "study"
    data = study_data(photos, recipe)
    begun = PhaseFolder(workdir / "runs/fine-seed0/pretrain")
    begun.bind(pretraining_run(recipe, data.spaces["fine", 0], 0, data, "fine").recipe())
    before = sorted(workdir.rglob("*"))
    arms = {"fine": {"source": "level", "options": {"level": "coarse"}}}
    changed = study_recipe(photos, arms=arms)
    with pytest.raises(RunError, match=r"fine-seed0/pretrain .*level was 'fine', now 'coarse'"):
        Study(changed, workdir).run(study_data(photos, changed), make_engine("one_device"))
    assert sorted(workdir.rglob("*")) == before


def test_a_plan_of_21_runs_holds_two_spaces_keyed_by_image_at_most(photos, monkeypatch):
    """While it is loaded and checked, and while its runs go by, each with its labels."""
    alive, most = weakref.WeakSet(), [0]
    check = LabelSpace.__post_init__

    def counted(space: LabelSpace) -> None:
        check(space)
        if space.keyed_by == "image":
            alive.add(space)
            most[0] = max(most[0], len(alive))

    monkeypatch.setattr(LabelSpace, "__post_init__", counted)
    monkeypatch.setattr(arm_spaces, "MAX_KEPT_BYTES", 0)
    arms = {
        f"random{number}": {"source": "random", "options": {"num_classes": number}}
        for number in range(3, 10)
    }
    recipe = study_recipe(photos, arms=arms, seeds=[0, 1, 2])
    data, study = study_data(photos, recipe), Study(recipe, photos / "study")
    assert (len(data.spaces), most[0]) == (21, 2)
    assert notes_on_arms(data) == []
    for run in study.runs:
        if run.arm != "baseline":
            found = pretraining_run(recipe, data.spaces[run.arm, run.seed], run.seed, data, run.arm)
            assert found.train.labelled(found.space).max() == found.space.num_classes - 1
            known = data.spaces.summaries[run.arm, run.seed]
            told = pretraining_run(recipe, known, run.seed, data, run.arm).recipe()
            assert told == found.recipe()
    assert most[0] == 2


def test_a_transfer_that_cannot_be_made_is_told_before_any_training(photos):
    arms = {"coarse": {"source": "level", "options": {"level": "coarse"}}}
    target = {"source": "level", "options": {"level": "fine"}}
    for changes in ({"transfer_head": "summed"}, {"transfer_mode": "none"}):
        with pytest.raises(RecipeError, match=r"arm 'coarse': .*cannot be summed"):
            study_data(photos, study_recipe(photos, target=target, arms=arms, **changes))


@pytest.mark.slow
def test_classes_of_other_images_are_summed_where_targets_are_nodes_of_their_taxonomy(
    photos, tmp_path
):
    """Pretrained on other images with a taxonomy in which the target's classes are nodes."""
    for name in _CLASSES:
        (photos / "other/train" / name).parent.mkdir(exist_ok=True)
        (photos / "other/val" / name).rename(photos / "other/train" / name)
    text = "fine,coarse\npear,f\nleek,v\napple,f\n"
    (photos / "other/taxonomy.csv").write_text(text)
    recipe = study_recipe(
        photos,
        dataset={"name": "folder", "options": {"source": str(photos / "other")}},
        transfer_dataset={"name": "folder", "options": {"source": str(photos / "own")}},
        arms={"fine": {"source": "level", "options": {"level": "fine"}}},
    )
    data = study_data(photos, recipe)
    class_map = data.class_map(data.spaces["fine", 0])
    named = {
        data.spaces["fine", 0].class_ids[c]: data.target.class_ids[k]
        for c, k in zip(class_map.classes, class_map.targets, strict=True)
    }
    assert named == {"f/apple": "f", "f/pear": "f", "v/leek": "v"}
    rows = Study(recipe, tmp_path / "study").run(data, make_engine("one_device"))
    assert {row.arm: row.transfer for row in rows} == {"baseline": "straight", "fine": "summed"}
    assert rows[1].direct_wrong is not None and rows[0].direct_wrong is None


@pytest.mark.slow
def test_transfer_to_another_dataset(photos, tmp_path):
    """Pretraining on three classes of other images; the coarse task has its own taxonomy."""
    for name in _CLASSES:
        (photos / "other/train").mkdir(exist_ok=True)
        (photos / "other/val" / name).rename(photos / "other/train" / f"wild-{name}")
    recipe = study_recipe(
        photos,
        dataset={"name": "folder", "options": {"source": str(photos / "other"), "flat": True}},
        transfer_dataset={"name": "folder", "options": {"source": str(photos / "own")}},
        arms={"wild": {"source": "level", "options": {"level": "class"}}},
    )
    data = study_data(photos, recipe)
    assert (len(data.train), len(data.transfer_train), len(data.evaluate)) == (6, 12, 3)
    rows = Study(recipe, tmp_path / "study").run(data, make_engine("one_device"))
    assert {row.arm: (row.num_classes, row.num_images) for row in rows} == {
        "baseline": (2, 3),
        "wild": (3, 3),
    }
    # Its classes are none of the target's: the head is new, probed first.
    assert rows[1].transfer == "probe_then_finetune" and rows[1].direct_wrong is None


def test_labels_within_the_target_need_the_targets_images(photos):
    recipe = study_recipe(
        photos,
        transfer_dataset={"name": "folder", "options": {"source": str(photos / "own")}},
        arms={"r": {"source": "random", "options": {"num_classes": 3, "aligned": True}}},
    )
    with pytest.raises(ValueError, match="needs a target to be aligned with"):
        study_data(photos, recipe)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": {"f": {"source": "level", "options": {"level": "fnie"}}}}, "arm 'f': unknown le"),
        ({"target": {"source": "level", "options": {"level": "x"}}}, "^target: unknown level 'x'"),
    ],
)
def test_a_level_that_is_none_is_told_with_its_place_in_the_recipe(photos, changes, message):
    with pytest.raises(UsageError, match=message):
        study_data(photos, study_recipe(photos, **changes))


def test_a_misspelt_dataset_is_told_before_another_one_is_prepared(photos):
    recipe = study_recipe(photos, transfer_dataset={"name": "foldre"})
    with pytest.raises(UsageError, match="unknown dataset 'foldre'; did you mean 'folder'"):
        open_study(recipe, str(photos / "data"))
    assert not (photos / "data").exists()


def test_a_study_from_before_transfers_were_tried_goes_on_as_it_was(photos, tmp_path):
    as_it_was = {"transfer_head": "new", "transfer_mode": "finetune"}
    content = study_recipe(photos, **as_it_was).defining()
    for key in ("transfer_candidates", "transfer_head"):
        del content[key]
    (tmp_path / "study.json").write_text(json.dumps(content))
    check_study(study_recipe(photos, **as_it_was), tmp_path)
    with pytest.raises(RunError, match="transfer_head was 'new', now 'auto'"):
        check_study(study_recipe(photos), tmp_path)
