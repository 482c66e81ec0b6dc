"""What runs of a study share: images to train and to test on, from one dataset or from two."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.datasets.open import open_dataset
from fine2coarse.experiment.recipe import Recipe
from fine2coarse.experiment.study import load_study_data

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


def study_data(photos: pathlib.Path, train_fraction: float = 1.0, **recipe):
    options = {"source": str(photos / "own")}
    phase = {"total_steps": 1, "batch_size": 4}
    spec = {"name": "folder", "options": options, "train_fraction": train_fraction}
    recipe = Recipe.from_config(
        {
            "dataset": spec,
            "target": {"source": "level", "options": {"level": "coarse"}},
            "arms": {"fine": {"source": "level", "options": {"level": "fine"}}},
            "seeds": [0],
            "backbone": {"name": "resnet_tiny", "image_size_px": 8},
            "pretrain": phase,
            "transfer": phase,
            **recipe,
        }
    )
    data_dir = str(photos / "data")
    dataset = open_dataset("folder", options, data_dir)
    other = recipe.evaluation and open_dataset("folder", recipe.evaluation.options, data_dir)
    return load_study_data(recipe, dataset, other)


def from_elsewhere(photos: pathlib.Path) -> dict:
    options = {"source": str(photos / "other"), "flat": True}
    return {"name": "folder", "options": options, "split": "val"}


def test_images_from_elsewhere_are_joined_by_class(photos):
    ours = study_data(photos)
    data = study_data(photos, evaluation=from_elsewhere(photos))
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
        study_data(photos, evaluation=from_elsewhere(photos))


def test_a_smaller_fraction_is_part_of_a_larger_one(photos):
    half = set(study_data(photos, train_fraction=0.5).train.image_ids)
    most = set(study_data(photos, train_fraction=0.75).train.image_ids)
    assert (len(half), len(most)) == (6, 9) and half < most
