"""Finished runs without training, and what was exported from them."""

from __future__ import annotations

import dataclasses
import gc
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import pytest

from fine2coarse.export.run_export import Exported, ExportOptions, export_run
from fine2coarse.files import write_json
from fine2coarse.labels import LabelSpace
from fine2coarse.models import BackboneSpec, Classifier
from fine2coarse.runs.phase_folder import EMA_WEIGHTS, LABEL_SPACE, WEIGHTS

CLASS_NAMES = ("ant", "bee\nline", "cat", "dog")


def fill(model: keras.Model, seed: int) -> None:
    """Gives every weight a value of its own, batch-norm statistics too."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight)
        noise = generator.normal(0, 0.02, values.shape).astype(np.float32)
        weight.assign(np.abs(values + noise) if "variance" in weight.path else values + noise)


def write_run(
    folder: pathlib.Path,
    backbone: BackboneSpec,
    *,
    precision: str = "float32",
    with_ema: bool = False,
) -> Classifier:
    """A run folder as `execute` leaves it, its weights random; returns its model in float32."""
    folder.mkdir(parents=True)
    space = LabelSpace(
        tuple("abcd"), CLASS_NAMES, np.arange(4)[:, None], name="pets", source={"kind": "test"}
    )
    model = Classifier(backbone, 4, seed=1)
    fill(model, seed=2)
    model.save_weights(folder / WEIGHTS)
    if with_ema:
        average = Classifier(backbone, 4, seed=1)
        fill(average, seed=3)
        average.save_weights(folder / EMA_WEIGHTS)
    space.save(folder / LABEL_SPACE)
    recipe = {
        "purpose": "pretrain",
        "dataset_name": "demo/default/1.0.0",
        "dataset_fingerprint": "f" * 64,
        "label_space": {
            "name": "pets",
            "num_classes": 4,
            "fingerprint": space.fingerprint,
            "source": dict(space.source),
        },
        "backbone": dataclasses.asdict(backbone),
        "phase": {"total_steps": 3, "batch_size": 8},
        "seed": 1,
        "precision": precision,
        "start_from": "scratch",
        "freeze_backbone": False,
    }
    counts = {"num_wrong": 3, "num_images": 8, "hard_wrong": 2, "hard_images": 4}
    result = {"last_loss": 0.5, "images_seen": 24, "evaluation": counts}
    write_json(folder / "recipe.json", recipe)
    write_json(folder / "result.json", result)
    return model


def images(num: int, size_px: int, seed: int = 0) -> np.ndarray:
    """Random images float32 [num, size, size, 3] in [0, 1]."""
    shape = (num, size_px, size_px, 3)
    return np.random.default_rng(seed).random(shape, np.float32)


@dataclasses.dataclass(frozen=True)
class Sample:
    """A run, its model, and what was exported from it."""

    run: pathlib.Path
    model: Classifier
    exported: Exported

    @property
    def folder(self) -> str:
        return str(self.exported.folder)


def write_sample(folder: pathlib.Path, name: str, size_px: int, **options) -> Sample:
    """Writes a run of a backbone and exports it, both into a folder."""
    model = write_run(folder / "run", BackboneSpec(name, size_px))
    exported = export_run(folder / "run", folder / "out", ExportOptions(**options))
    gc.collect()  # the exporter's own model, of up to 1.2 GB
    return Sample(folder / "run", model, exported)


@pytest.fixture(scope="session")
def make_sample(tmp_path_factory) -> Callable[..., Sample]:
    """Writes a run and exports it, into a folder of the session."""

    def make(name: str, size_px: int, **options) -> Sample:
        return write_sample(tmp_path_factory.mktemp(name), name, size_px, **options)

    return make


@pytest.fixture(scope="session")
def resnet(make_sample) -> Sample:
    """A feature vector."""
    return make_sample("resnet_tiny", 16)


@pytest.fixture(scope="session")
def classifier(make_sample) -> Sample:
    """The same with its head, and packed."""
    return make_sample("resnet_tiny", 16, with_head=True, archive=True)


@pytest.fixture(scope="session")
def vit(make_sample) -> Sample:
    """A feature vector of a ViT: for slow tests alone."""
    return make_sample("vit_ti16", 16)
