"""Label spaces named by a configuration."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fine2coarse.errors import RecipeError
from fine2coarse.labels import spec
from fine2coarse.labels.level import level
from fine2coarse.labels.space import LabelSpaceError
from fine2coarse.schema import choice_of, parse, to_plain


def from_mapping(content: dict):
    return parse(spec.LabelSource, content, "arm")


def to_mapping(source) -> dict:
    return {"source": choice_of(spec.LabelSource).name_of(source), "options": to_plain(source)}


def named(source: str, **options) -> dict:
    return {"source": source, "options": options}


SPECIES = named("level", level="species")


@pytest.fixture
def context(pets, images) -> spec.Context:
    return spec.Context(pets, images, level(pets, "family"))


@pytest.mark.parametrize(
    ("content", "name", "num_classes"),
    [
        (named("level", level="genus"), "genus", 3),
        (named("level", level="genus", rule="deepest"), "genus-deepest", 3),
        (named("cut", num_classes=3), "cut-3", 3),
        (named("cut", nodes=("canids", "Felis")), "nodes-2", 2),
        (named("mixed", min_images=10), "mixed-10", 6),
        (named("random", num_classes=4), "random-aligned-4", 4),
        (named("random", as_many_as_level="genus"), "random-aligned-3", 3),
        (named("random", like=SPECIES, aligned=False), "random-unaligned-like-species", 6),
        (named("per_image"), "per-image", 52),
        ({"source": "per_image"}, "per-image", 52),
        (named("size_matched", base=SPECIES, num_images_per_class=2), "species-2-per-class", 6),
        (named("size_matched", base=SPECIES, num_images_total=52), "species-52-total", 6),
        (named("corrupted", base=SPECIES, share=0.5), "species-corrupted-0.5-within", 6),
        (named("corrupted", base=SPECIES, share=1), "species-corrupted-1-within", 6),
    ],
)
def test_each_source_builds(context, content, name, num_classes):
    source = from_mapping(content)
    space = source.build(context)
    assert (space.name, space.num_classes) == (name, num_classes)
    assert from_mapping(to_mapping(source)) == source
    assert space.source["kind"] == content["source"]


def test_a_seed_of_its_own_or_the_run_s(context):
    def fingerprint(run_seed: int, **options) -> str:
        source = from_mapping(named("random", num_classes=6, **options))
        return source.build(dataclasses.replace(context, seed=run_seed)).fingerprint

    assert fingerprint(0) != fingerprint(1) == fingerprint(1)
    assert fingerprint(0, seed=5) == fingerprint(1, seed=5)


def test_clusters_and_files(context, tmp_path, images):
    pytest.importorskip("faiss")
    np.save(tmp_path / "v.npy", np.random.default_rng(0).random((58, 3), np.float32))
    (tmp_path / "v.npy.ids.txt").write_text("\n".join(images.image_ids))
    content = named("clusters", num_clusters=5, embeddings=str(tmp_path / "v.npy"))
    source = from_mapping(content)
    assert from_mapping(to_mapping(source)) == source
    space, centroids = source.build_with_centroids(context)
    assert space.num_classes == 5 and len(centroids.vectors) == 5
    space.save(tmp_path / "space.npz")
    again = from_mapping(named("file", path=str(tmp_path / "space.npz"))).build(context)
    assert again.fingerprint == space.fingerprint


def test_a_file_of_another_dataset(context, tmp_path, zoo):
    level(zoo, "1").save(tmp_path / "other.npz")
    with pytest.raises(LabelSpaceError, match="make the label space again"):
        from_mapping(named("file", path=str(tmp_path / "other.npz"))).build(context)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (named("levle", level="genus"), "unknown label source 'levle'; did you mean 'level'"),
        ({}, "unknown label source ''"),
        ({"source": "level", "option": {}}, "as well"),
        (named("level", levels="genus"), "unknown option 'levels'; did you mean 'level'"),
        (named("level"), "'level' needs level"),
        (named("level", level=1), "level: expected str, got 1"),
        (named("random", num_classes="4"), "num_classes: expected int"),
        (named("random", num_classes=True), "num_classes: expected int"),
        (named("cut"), "num_classes or a list of nodes"),
        (named("cut", num_classes=2, nodes=("a",)), "not both"),
        (named("random"), "one of num_classes, as_many_as_level and like"),
        (named("clusters", num_clusters=2), "need embeddings"),
        (named("clusters", embeddings="x.npy"), "num_clusters or a file of centroids"),
        (named("size_matched", base=SPECIES), "choose one control"),
        (named("level", level="genus", rule="frist"), "unknown rule 'frist'"),
        (named("mixed", min_images=3, rule="last"), "unknown rule 'last'"),
        (named("mixed", min_images=0), "min_images must be at least 1, got 0"),
        (named("cut", num_classes=-2), "num_classes must not be negative, got -2"),
        (named("random", num_classes=-1), "num_classes must not be negative, got -1"),
        (named("random", num_classes=4, as_many_as_level="genus"), "got 4, 'genus' and None"),
        (named("corrupted", base=SPECIES, share=1.5), "share must be from 0 to 1, got 1.5"),
        (named("corrupted", base=named("cut"), share=0.5), "num_classes or a list of nodes"),
        (named("size_matched", base=SPECIES, num_images_total=-5), "not be negative, got -5"),
        (
            named("clusters", embeddings="x.npy", num_clusters=4, seeding="best"),
            "seeding is one of .*, got 'best'",
        ),
        (
            named("clusters", embeddings="x.npy", num_clusters=4, num_restarts=0),
            "num_restarts must be at least 1, got 0",
        ),
        (named("size_matched", base={"source": None}), "needs base"),
    ],
)
def test_what_is_no_source(content, message):
    with pytest.raises(RecipeError, match=message):
        from_mapping(content)


def test_options_that_are_none_count_as_absent():
    empty = {"source": None, "options": {"level": None}}
    source = from_mapping(named("random", num_classes=4, like=empty, seed=None))
    assert source == spec.Random(num_classes=4)


def test_aligned_needs_a_target(pets, images):
    source = from_mapping(named("random", num_classes=4))
    with pytest.raises(LabelSpaceError, match="needs a target"):
        source.build(spec.Context(pets, images))
