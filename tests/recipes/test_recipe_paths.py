"""Paths in recipes are expanded where they are parsed; options must fit their dataset."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from fine2coarse.datasets import demo, folder
from fine2coarse.datasets import open as opening
from fine2coarse.labels.space import LabelSpaceError
from fine2coarse.labels.spec_mapping import from_mapping
from fine2coarse.recipes.dataset_options import DATASET_OPTIONS, read_options
from fine2coarse.recipes.recipe import ArmSpec, DatasetSpec, EvaluationSpec, LabelSpec
from fine2coarse.recipes.start_spec import StartSpec
from fine2coarse.schema import RecipeError, parse


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.delenv("NOTSET", raising=False)


def test_options_of_datasets():
    spec = parse(DatasetSpec, {"name": "folder", "options": {"source": "~/x", "name": "~"}})
    assert spec.options == {"source": "/home/ann/x", "name": "~"}
    spec = parse(DatasetSpec, {"name": "imagenet21k", "options": {"manual_dir": "$DATA/tars"}})
    assert spec.options["manual_dir"] == "/data/tars"
    spec = parse(EvaluationSpec, {"name": "folder", "options": {"source": "${DATA}/val.tar"}})
    assert spec.options["source"] == "/data/val.tar"


def test_options_of_label_sources():
    options = {"embeddings": "~/e.npy", "ids": "$DATA/ids.txt", "num_clusters": 3}
    assert LabelSpec("clusters", options).options["embeddings"] == "/home/ann/e.npy"
    record = from_mapping({"source": "clusters", "options": options})
    assert (record.embeddings, record.ids) == ("/home/ann/e.npy", "/data/ids.txt")
    nested = {"like": {"source": "file", "options": {"path": "~/s.npz"}}}
    assert ArmSpec("random", nested).options["like"]["options"]["path"] == "/home/ann/s.npz"
    assert from_mapping({"source": "random", "options": nested}).like.path == "/home/ann/s.npz"


def test_a_start():
    assert StartSpec("run", "~/runs/fine").source == "/home/ann/runs/fine"
    assert StartSpec("preset", "resnet_18_imagenet").source == "resnet_18_imagenet"


def test_an_unknown_variable_is_named():
    with pytest.raises(RecipeError, match=r"dataset .folder.: .*NOTSET is not set"):
        DatasetSpec("folder", {"source": "$NOTSET/x"})
    with pytest.raises(RecipeError, match="NOTSET is not set"):
        LabelSpec("file", {"path": "$NOTSET/x"})
    with pytest.raises(LabelSpaceError, match=r"'file': .*NOTSET is not set"):
        from_mapping({"source": "file", "options": {"path": "$NOTSET/x"}})


def test_options_of_another_dataset_are_named():
    with pytest.raises(RecipeError, match="'demo' got source='x': unknown option 'source'"):
        DatasetSpec("demo", {"source": "x"})
    with pytest.raises(RecipeError, match=r"'folder' got sorce='x'.*did you mean 'source'"):
        EvaluationSpec("folder", {"sorce": "x"})
    assert read_options("demo", {"source": None, "seed": 1}) == {"source": None, "seed": 1}


def _fields(config: type) -> dict[str, type]:
    """Names and types of a builder config's own fields, and of its name."""
    kinds = {"int": int, "float": float, "str": str, "bool": bool}
    return {
        field.name: kinds.get(str(field.type), field.type)
        for field in dataclasses.fields(config)
        if field.name in inspect.get_annotations(config)
    }


def test_the_options_are_those_that_the_datasets_take():
    assert set(DATASET_OPTIONS) == set(opening.dataset_names())
    assert DATASET_OPTIONS["demo"] == _fields(demo.DemoConfig)
    preparation = set(inspect.signature(opening._prepare_config).parameters)
    assert set(DATASET_OPTIONS["inat2021"]) == preparation
    assert set(DATASET_OPTIONS["imagenet21k"]) == preparation | {"leaves"}


def test_the_options_of_a_folder_are_those_that_it_takes():
    of_the_opener = {"name", "num_workers"}
    of_the_builder_alone = {"level", "stored_as"}
    taken = set(_fields(folder.FolderConfig)) - of_the_builder_alone | of_the_opener
    assert set(DATASET_OPTIONS["folder"]) == taken
