"""A head that sums finer classes: their names and probabilities, wherever the run lies."""

from __future__ import annotations

import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import fine2coarse
from fine2coarse.labels.class_map import ClassMap
from fine2coarse.labels.space import LabelSpace
from fine2coarse.models import BackboneSpec, Classifier, Summation
from fine2coarse.runs.fine_classes import FINE_LABEL_SPACE, find_fine_space, keep_fine_space
from fine2coarse.runs.phase_folder import CLASS_MAP, LABEL_SPACE, WEIGHTS, PhaseFolder
from tests.exported_runs import CLASS_NAMES, fill, write_run

_SPEC = BackboneSpec("resnet_tiny", 8)


def edit(path: pathlib.Path, **fields: object) -> dict:
    content = json.loads(path.read_text("utf-8")) | fields
    path.write_text(json.dumps(content), encoding="utf-8")
    return content


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> pathlib.Path:
    """`pretrain/` with four animals; `transfer/`: insects are ants and bees, pets the others."""
    folder = tmp_path_factory.mktemp("runs") / "fine-seed0"
    write_run(folder / "pretrain", _SPEC)
    write_run(folder / "transfer", _SPEC)
    class_map = ClassMap(4, 2, np.arange(4), np.asarray([0, 0, 1, 1]), np.ones(4))
    model = Classifier(_SPEC, 4, seed=1, summation=Summation(class_map))
    fill(model, seed=5)
    model.save_weights(folder / "transfer" / WEIGHTS)
    class_map.save(folder / "transfer" / CLASS_MAP)
    space = LabelSpace(("i", "p"), ("insects", "pets"), np.arange(2)[:, None], name="kinds")
    space.save(folder / "transfer" / LABEL_SPACE)
    pretrained = json.loads((folder / "pretrain" / "recipe.json").read_text("utf-8"))
    summed = {"num_classes": 4, "class_map": class_map.fingerprint, "fine_loss": "softmax"}
    edit(
        folder / "transfer" / "recipe.json",
        label_space={"name": "kinds", "num_classes": 2, "fingerprint": space.fingerprint},
        head={"kind": "summed", "summed": {**summed, "loss": "softmax"}},
        start_from={"recipe": pretrained},
    )
    return folder


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("photo") / "p.png"
    Image.effect_noise((12, 10), 80).convert("RGB").save(path)
    return path


def test_the_finer_classes_are_told_and_add_up(run, photo):
    model = fine2coarse.load(run)  # its last phase
    assert (model.classes, model.fine_classes) == (("insects", "pets"), CLASS_NAMES)
    assert model.columns(2) == [
        *("file", "class", "probability", "class_2", "probability_2"),
        *("fine_class", "fine_probability", "fine_class_2", "fine_probability_2"),
    ]
    (record,) = model.predict(photo)
    numbers = ("", "_2", "_3", "_4")
    fine = {record[f"fine_class{n}"]: record[f"fine_probability{n}"] for n in numbers}
    coarse = {record[f"class{n}"]: record[f"probability{n}"] for n in numbers[:2]}
    assert coarse["insects"] == pytest.approx(fine["ant"] + fine["bee\nline"], abs=1e-6)
    assert coarse["pets"] == pytest.approx(fine["cat"] + fine["dog"], abs=1e-6)
    assert sum(coarse.values()) == pytest.approx(1, abs=1e-6)
    assert list(fine.values()) == sorted(fine.values(), reverse=True)


def test_without_the_pretraining_s_names_the_target_s_are_told(run, photo, tmp_path):
    shutil.copytree(run / "transfer", tmp_path / "alone")
    model = fine2coarse.load(tmp_path / "alone")
    assert model.fine_classes == () and model.columns(1) == ["file", "class", "probability"]
    assert "fine_class" not in model.predict(photo)[0]


def test_a_transfer_by_hand_keeps_the_names(run, tmp_path):
    folder = PhaseFolder(tmp_path / "coarse")
    shutil.copytree(run / "transfer", folder.path)
    assert find_fine_space(folder) is None
    keep_fine_space(folder, run / "pretrain")
    assert find_fine_space(folder).class_names == CLASS_NAMES
    keep_fine_space(PhaseFolder(run / "pretrain"), run / "transfer")  # whose head sums nothing
    assert not (run / "pretrain" / FINE_LABEL_SPACE).exists()


def test_names_of_another_pretraining_are_not_taken(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    other = LabelSpace(tuple("wxyz"), tuple("wxyz"), np.arange(4)[:, None])
    other.save(tmp_path / "run" / "pretrain" / LABEL_SPACE)
    assert find_fine_space(PhaseFolder(tmp_path / "run" / "transfer")) is None


def test_classes_trained_each_by_itself_have_probabilities_of_their_own(photo, tmp_path):
    model = write_run(tmp_path / "run", _SPEC)
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text("utf-8"))
    edit(tmp_path / "run" / "recipe.json", phase={**recipe["phase"], "loss": "sigmoid"})
    loaded = fine2coarse.load(tmp_path / "run")
    image = tf.constant(np.asarray(Image.open(photo).crop((1, 0, 11, 10)), np.float32))
    pixels = tf.image.resize(image, [8, 8], antialias=True)[None] / 255.0
    expected = tf.sigmoid(model(pixels, training=False))
    np.testing.assert_allclose(loaded.probabilities(photo), expected, atol=1e-5)
