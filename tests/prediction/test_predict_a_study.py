"""A real study's test images as files: `predict` gives each the class that the study stored."""

from __future__ import annotations

import csv
import dataclasses
import pathlib

import numpy as np
import pytest

import fine2coarse
from fine2coarse import api
from fine2coarse.datasets.open import open_dataset
from tests.launch.programs import launch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> pathlib.Path:
    """A baseline, and an arm whose head is summed and trained on, of few steps."""
    config = fine2coarse.load_config(
        "demo:smoke",
        {
            "transfer_candidates": "off",
            "pretrain.total_steps": 6,
            "pretrain.optimizer.warmup_steps": 0,
            "transfer.total_steps": 4,
            "transfer.optimizer.warmup_steps": 0,
        },
    )
    recipe = api.parse_recipe(config)
    recipe = dataclasses.replace(recipe, arms={"fine": recipe.arms["fine"]})
    folder = tmp_path_factory.mktemp("predict") / "study"
    assert fine2coarse.run_study(recipe, folder, strategy="one_device", report=False).best
    return folder


@pytest.fixture(scope="module")
def photos(study) -> pathlib.Path:
    """The images that the study was tested on, as files named by their ids."""
    folder = study.parent / "photos"
    folder.mkdir()
    dataset = fine2coarse.load_config("demo:smoke").dataset.to_dict()
    prepared = open_dataset(dataset["name"], dataset["options"], str(study / "data"))
    for example in prepared.read(dataset["eval_split"]).as_numpy_iterator():
        (folder / example["image_id"].decode()).write_bytes(example["image"])
    return folder


@pytest.mark.parametrize("phase", ["baseline-seed0/baseline", "fine-seed0/transfer"])
def test_each_test_image_gets_its_stored_class(study, photos, phase):
    folder = study / "runs" / phase
    model = fine2coarse.load(folder)
    with np.load(folder / "predictions.npz") as stored:
        place = {str(image_id): row for row, image_id in enumerate(stored["image_ids"])}
        records = model.predict(photos)
        rows = [place[pathlib.Path(record["file"]).name] for record in records]
        assert sorted(rows) == list(range(len(place)))
        names = [model.classes[index] for index in stored["predicted"][rows]]
        assert [record["class"] for record in records] == names
        targets, margins = stored["targets"][rows], stored["margins"][rows]
    logs = np.log(model.probabilities(photos))
    right = logs[np.arange(len(rows)), targets].copy()
    logs[np.arange(len(rows)), targets] = -np.inf
    np.testing.assert_allclose(right - logs.max(1), margins, atol=1e-4)


def test_finer_classes_sum_to_the_target_s(study, photos):
    model = fine2coarse.load(study / "runs" / "fine-seed0")
    record = model.predict(next(photos.iterdir()), top=32)[0]
    assert len(model.fine_classes) == 32 and record["fine_class"].startswith("fine")
    fine = {record[f"fine_class{n}"]: record[f"fine_probability{n}"] for n in _numbers(32)}
    coarse = {record[f"class{n}"]: record[f"probability{n}"] for n in _numbers(4)}
    assert sum(fine.values()) == pytest.approx(1, abs=1e-5)
    for name, probability in coarse.items():  # fine2xx are those of superclass2
        number = name.removeprefix("superclass")
        ours = (p for fine_name, p in fine.items() if fine_name.startswith(f"fine{number}"))
        assert sum(ours) == pytest.approx(probability, abs=1e-5)


def _numbers(count: int) -> list[str]:
    return ["", *(f"_{number}" for number in range(2, count + 1))]


def test_the_program_writes_a_row_a_file(study, photos, tmp_path):
    some = tmp_path / "some"
    some.mkdir()
    names = sorted(path.name for path in photos.iterdir())[:3]
    for name in names:
        (some / f"{name}.png").write_bytes((photos / name).read_bytes())
    (some / "cut.png").write_bytes((photos / names[0]).read_bytes()[:100])
    run = study / "runs" / "fine-seed0" / "transfer"
    done = launch("predict", str(some), f"--run={run}", "--top=2")
    assert done.returncode == 3
    assert "cut.png: truncated image" in done.stderr
    assert "error: 1 of 4 images cannot be read" in done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [row["file"] for row in rows] == [str(some / f"{name}.png") for name in names]
    expected = fine2coarse.load(run).predict([some / f"{name}.png" for name in names], top=2)
    assert [row["class"] for row in rows] == [record["class"] for record in expected]
    assert [float(row["probability"]) for row in rows] == pytest.approx(
        [record["probability"] for record in expected], abs=1e-5
    )
