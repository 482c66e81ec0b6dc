"""Advice on the number of clusters against the study that it is to save."""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib

import pytest

from fine2coarse.datasets.open import open_dataset
from fine2coarse.embeddings import embedding, encoders
from fine2coarse.labels.advise import advise
from fine2coarse.labels.spec import Clusters, PerImage
from fine2coarse.recipes.recipe import ArmSpec, Recipe
from fine2coarse.runs.execution import execute
from fine2coarse.runs.phase_folder import PhaseFolder
from fine2coarse.studies.label_spaces import indexed_context
from fine2coarse.studies.run_phases import pretraining_run
from fine2coarse.studies.study import Study
from fine2coarse.studies.study_data import load_study_data
from fine2coarse.training.engine import make_engine

_CARD = pathlib.Path(__file__).resolve().parents[2] / "configs" / "label_sources.py"
CANDIDATES = (8, 32, 512)


def demo_recipe() -> Recipe:
    spec = importlib.util.spec_from_file_location("card", _CARD)
    card = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(card)
    return dataclasses.replace(Recipe.from_config(card.get_config("demo")), seeds=(0,))


@pytest.mark.slow
def test_the_advised_number_beats_the_baseline_and_the_number_advised_against(tmp_path):
    """Two to three minutes: an embedding without any label, advice, and the runs it is about."""
    pytest.importorskip("faiss")
    recipe = demo_recipe()
    strategy = make_engine("one_device")
    dataset = open_dataset("demo", {}, str(tmp_path / "data"))
    unlabelled = dataclasses.replace(recipe, arms={"per_image": ArmSpec(PerImage())})
    data = load_study_data(unlabelled, dataset)
    run = pretraining_run(unlabelled, data.spaces["per_image", 0], 0, data)
    execute(run, PhaseFolder(tmp_path / "per_image"), strategy)
    encoder = encoders.from_run(tmp_path / "per_image")
    finish = embedding.FinishSpec(l2=True)
    out = tmp_path / "e.npy"
    embeddings = embedding.embed_dataset(
        dataset, ["train", "test"], encoder, out, strategy, finish=finish
    )
    images = indexed_context(dataset, "train").images
    ranking = advise(images, embeddings, data.target, CANDIDATES, aligned=False, seed=0)
    best, worst = ranking[0].num_clusters, ranking[-1].num_clusters
    arms = {
        f"whole{number}": ArmSpec(Clusters(number, embeddings=str(out), aligned=False))
        for number in (best, worst)
    }
    tried = dataclasses.replace(recipe, arms=arms)
    rows = Study(tried, tmp_path / "study").run(load_study_data(tried, dataset), strategy)
    errors = {row.arm: row.error() for row in rows}
    assert errors[f"whole{best}"] < errors["baseline"] - 0.05
    assert errors[f"whole{best}"] < errors[f"whole{worst}"] - 0.05
