"""Paths in recipes are expanded where they are parsed; options must fit their dataset."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from fine2coarse.datasets import demo, folder
from fine2coarse.datasets import open as opening
from fine2coarse.datasets.imagenet21k_subsets import SUBSET_OPTIONS
from fine2coarse.errors import RecipeError
from fine2coarse.labels.spec import LabelSource
from fine2coarse.recipes.dataset_options import DATASET_OPTIONS, read_options
from fine2coarse.recipes.recipe import ArmSpec, DatasetSpec, EvaluationSpec
from fine2coarse.recipes.start_spec import StartSpec
from fine2coarse.schema import defining, hints_of, parse, without_none


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
    record = parse(LabelSource, {"source": "clusters", "options": options})
    assert (record.embeddings, record.ids) == ("/home/ann/e.npy", "/data/ids.txt")
    nested = {"like": {"source": "file", "options": {"path": "~/s.npz"}}}
    arm = parse(ArmSpec, {"source": "random", "options": nested})
    assert arm.label.like.path == "/home/ann/s.npz"


def test_a_start():
    assert StartSpec("run", "~/runs/fine").source == "/home/ann/runs/fine"
    assert StartSpec("preset", "resnet_18_imagenet").source == "resnet_18_imagenet"


def test_an_unknown_variable_is_named():
    with pytest.raises(RecipeError, match=r"dataset .folder.\.source: .*NOTSET is not set"):
        DatasetSpec("folder", {"source": "$NOTSET/x"})
    with pytest.raises(RecipeError, match=r"config: label source 'file': path: .*NOTSET is not"):
        parse(ArmSpec, {"source": "file", "options": {"path": "$NOTSET/x"}})


def test_options_of_another_dataset_are_named():
    with pytest.raises(RecipeError, match="'demo' got source='x': unknown option 'source'"):
        DatasetSpec("demo", {"source": "x"})
    with pytest.raises(RecipeError, match=r"'folder' got sorce='x'.*did you mean 'source'"):
        EvaluationSpec("folder", {"sorce": "x"})
    assert read_options("demo", {"source": None, "seed": 1}) == {"seed": 1}


def _fields(config: type) -> dict[str, type]:
    """Names and types of a builder config's own fields, and of its name."""
    kinds = {"int": int, "float": float, "str": str, "bool": bool}
    return {
        field.name: kinds.get(str(field.type), field.type)
        for field in dataclasses.fields(config)
        if field.name in inspect.get_annotations(config)
    }


def _options(name: str) -> dict[str, type]:
    hints = hints_of(DATASET_OPTIONS[name])
    return {option: without_none(hint) for option, hint in hints.items()}


def test_the_options_are_those_that_the_datasets_take():
    assert set(DATASET_OPTIONS) == set(opening.dataset_names())
    assert _options("demo") == _fields(demo.DemoConfig)
    preparation = set(inspect.signature(opening._prepare_config).parameters)
    assert set(_options("inat2021")) == preparation
    assert set(_options("imagenet21k")) == preparation | set(SUBSET_OPTIONS)


def test_the_options_of_a_folder_are_those_that_it_takes():
    of_the_opener = {"name", "num_workers"}
    of_the_builder_alone = {"level", "stored_as"}
    taken = set(_fields(folder.FolderConfig)) - of_the_builder_alone | of_the_opener
    assert set(_options("folder")) == taken


def test_an_option_of_the_wrong_type_is_named():
    with pytest.raises(RecipeError, match=r"dataset 'demo'\.num_train: expected int, got 'many'"):
        DatasetSpec("demo", {"num_train": "many"})


def test_where_images_lie_makes_no_other_study():
    here = DatasetSpec("folder", {"source": "/a", "flat": True}, storage="disk")
    there = DatasetSpec("folder", {"source": "/b", "flat": True, "num_workers": 4})
    other = DatasetSpec("folder", {"source": "/a", "flat": False})
    assert defining(here) == defining(there) != defining(other)
    assert defining(here)["options"] == {"flat": True}
