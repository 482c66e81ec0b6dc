"""Label spaces named by a configuration."""

from __future__ import annotations

import numpy as np
import pytest

from fine2coarse.labels import spec
from fine2coarse.labels.level import level
from fine2coarse.labels.space import LabelSpaceError

SPECIES = {"kind": "level", "level": "species"}


@pytest.fixture
def context(pets, images) -> spec.Context:
    return spec.Context(pets, images, level(pets, "family"))


@pytest.mark.parametrize(
    ("content", "name", "num_classes"),
    [
        ({"kind": "level", "level": "genus"}, "genus", 3),
        ({"kind": "level", "level": "genus", "rule": "deepest"}, "genus-deepest", 3),
        ({"kind": "cut", "num_classes": 3}, "cut-3", 3),
        ({"kind": "cut", "nodes": ("canids", "Felis")}, "nodes-2", 2),
        ({"kind": "mixed", "min_images": 10}, "mixed-10", 6),
        ({"kind": "random", "num_classes": 4}, "random-aligned-4", 4),
        ({"kind": "random", "like": SPECIES, "aligned": False}, "random-unaligned-like-species", 6),
        ({"kind": "per_image"}, "per-image", 52),
        (
            {"kind": "size_matched", "base": SPECIES, "num_images_per_class": 2},
            "species-2-per-class",
            6,
        ),
        ({"kind": "size_matched", "base": SPECIES, "num_images_total": 52}, "species-52-total", 6),
        ({"kind": "corrupted", "base": SPECIES, "share": 0.5}, "species-corrupted-0.5-within", 6),
    ],
)
def test_each_kind_builds(context, content, name, num_classes):
    source = spec.from_mapping(content)
    space = source.build(context)
    assert (space.name, space.num_classes) == (name, num_classes)
    assert spec.from_mapping(spec.to_mapping(source)) == source
    assert space.source["kind"] == content["kind"]


def test_clusters_and_files(context, tmp_path, images):
    pytest.importorskip("faiss")
    np.save(tmp_path / "v.npy", np.random.default_rng(0).random((58, 3), np.float32))
    (tmp_path / "v.npy.ids.txt").write_text("\n".join(images.image_ids))
    content = {"kind": "clusters", "num_clusters": 5, "embeddings": str(tmp_path / "v.npy")}
    source = spec.from_mapping(content)
    assert spec.from_mapping(spec.to_mapping(source)) == source
    space, centroids = source.build_with_centroids(context)
    assert space.num_classes == 5 and len(centroids.vectors) == 5
    space.save(tmp_path / "space.npz")
    again = spec.from_mapping({"kind": "file", "path": str(tmp_path / "space.npz")}).build(context)
    assert again.fingerprint == space.fingerprint


def test_a_file_of_another_dataset(context, tmp_path, zoo):
    level(zoo, "1").save(tmp_path / "other.npz")
    with pytest.raises(LabelSpaceError, match="make the label space again"):
        spec.from_mapping({"kind": "file", "path": str(tmp_path / "other.npz")}).build(context)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"kind": "levle", "level": "genus"}, "'levle'; did you mean 'level'"),
        ({}, "unknown kind of label space ''"),
        ({"kind": "level", "levels": "genus"}, "unknown key 'levels'.* did you mean 'level'"),
        ({"kind": "level"}, r"needs \['level'\]"),
        ({"kind": "cut"}, "num_classes or a list of nodes"),
        ({"kind": "cut", "num_classes": 2, "nodes": ("a",)}, "not both"),
        ({"kind": "random"}, "num_classes or a space to be like"),
        ({"kind": "clusters", "num_clusters": 2}, "need embeddings"),
        ({"kind": "clusters", "embeddings": "x.npy"}, "num_clusters or a file of centroids"),
        ({"kind": "size_matched", "base": SPECIES}, "choose one control"),
        ({"kind": "clusters", "embeddings": "x", "num_clusters": 2, "seed": None}, None),
    ],
)
def test_what_is_no_source(content, message):
    if message is None:
        assert spec.from_mapping(content).seed == 0
        return
    with pytest.raises(LabelSpaceError, match=message):
        spec.from_mapping(content)


def test_aligned_needs_a_target(pets, images):
    source = spec.from_mapping({"kind": "random", "num_classes": 4})
    with pytest.raises(LabelSpaceError, match="needs a target"):
        source.build(spec.Context(pets, images))
