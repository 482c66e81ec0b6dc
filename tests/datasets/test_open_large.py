"""The large datasets and TFDS's own, opened by name as a recipe does."""

from __future__ import annotations

import pytest

from fine2coarse.datasets.open import dataset_names, open_dataset
from fine2coarse.datasets.prepared import DatasetError
from fine2coarse.errors import RecipeError
from tests.datasets import fakes


def test_names():
    assert {"imagenet21k", "inat2021", "tfds"} <= set(dataset_names())


def test_imagenet21k(tmp_path):
    fakes.whole_tar(tmp_path / "manual", fakes.small_files(3))
    options = {"leaves": "present", "manual_dir": str(tmp_path / "manual"), "num_validation": 4}
    dataset = open_dataset("imagenet21k", options, str(tmp_path / "data"))
    assert dataset.splits == {"train": 8, "validation": 4}
    assert dataset.taxonomy.leaf_ids == tuple(sorted(fakes.SYNSETS))
    index = dataset.index("validation")
    assert all(
        image_id.startswith(dataset.taxonomy.leaf_ids[label])
        for image_id, label in zip(index.image_ids, index.labels)
    )
    again = open_dataset("imagenet21k", {"leaves": "present"}, str(tmp_path / "data"))
    assert again.fingerprint == dataset.fingerprint
    with pytest.raises(DatasetError, match=r"leaves is one of \['all', 'present'\], got 'some'"):
        open_dataset("imagenet21k", {"leaves": "some"}, str(tmp_path / "data"))
    with pytest.raises(RecipeError, match="unknown option"):
        open_dataset("imagenet21k", {"folder": "x"}, str(tmp_path / "data"))


def test_inat2021(tmp_path):
    fakes.inat_split(tmp_path / "manual", "train_mini", 2)
    options = {"manual_dir": str(tmp_path / "manual"), "splits": ("mini",)}
    dataset = open_dataset("inat2021", options, str(tmp_path / "data"))
    assert dataset.splits == {"mini": 8}
    assert dataset.taxonomy.levels[-1] == "kingdom"


def test_tfds_needs_a_name(tmp_path):
    with pytest.raises(DatasetError, match="dataset 'tfds' takes `name`"):
        open_dataset("tfds", {}, str(tmp_path))
