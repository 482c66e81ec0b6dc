"""Small worlds that can be drawn on paper."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from fine2coarse.labels.embeddings import Embeddings
from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.space import LabelSpace
from fine2coarse.taxonomy.taxonomy import Taxonomy


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small problems are quickest on one thread; the clusters are the same (test_clusters.py)."""
    with contextlib.suppress(ImportError):
        import faiss

        faiss.omp_set_num_threads(1)


@pytest.fixture
def zoo() -> Taxonomy:
    """Nine nodes, one leaf with two parents of different depth.

              root
            /      \\
        animal    artefact
          |       /  |   \\
         dog    toy  |   car
        /   \\    |   |
    poodle  toy_dog (artefact, dog)    ball (toy)
    """
    parents = {
        "root": [],
        "animal": ["root"],
        "artefact": ["root"],
        "dog": ["animal"],
        "toy": ["artefact"],
        "poodle": ["dog"],
        "toy_dog": ["artefact", "dog"],
        "ball": ["toy"],
        "car": ["artefact"],
    }
    leaves = ["poodle", "toy_dog", "ball", "car"]
    return Taxonomy.from_parents(
        parents, leaves, levels=[str(hops) for hops in range(4)], level_kind="hops"
    )


@pytest.fixture
def pets() -> Taxonomy:
    """A tree by ranks: 2 families, 3 genera, 6 species.

    canids: Canis (wolf, dog, jackal), Vulpes (fox); felids: Felis (cat, sandcat).
    """
    genus = {"wolf": "Canis", "dog": "Canis", "jackal": "Canis", "fox": "Vulpes"}
    genus |= {"cat": "Felis", "sandcat": "Felis"}
    family = {"Canis": "canids", "Vulpes": "canids", "Felis": "felids"}
    parents = {child: [parent] for child, parent in (genus | family).items()}
    ranks = dict.fromkeys(genus, "species") | dict.fromkeys(family, "genus")
    ranks |= {"canids": "family", "felids": "family"}
    levels = ["species", "genus", "family"]
    return Taxonomy.from_parents(parents, list(genus), ranks=ranks, levels=levels)


@pytest.fixture
def images(pets: Taxonomy) -> ImageIndex:
    """Ten training images of each species but the sandcat, which has two; and six to validate."""
    sizes = [10, 10, 10, 10, 10, 2]
    leaf_labels = np.concatenate([np.repeat(np.arange(6), sizes), np.arange(6)])
    num = len(leaf_labels)
    return ImageIndex(
        image_ids=tuple(f"image{index:02d}" for index in range(num)),
        leaf_labels=leaf_labels,
        is_train=np.arange(num) < num - 6,
        dataset_fingerprint="d" * 64,
        taxonomy_fingerprint=pets.fingerprint,
    )


@pytest.fixture
def blobs() -> tuple[ImageIndex, Embeddings, LabelSpace]:
    """Eight tight blobs in the plane, 50 training and 10 other images each.

    Blobs 0-3 lie at the corners of a square around (0, 0) and belong to target class 0, blobs
    4-7 around (100, 0) to target class 1. The leaf label is the blob. Rows are shuffled.
    """
    generator = np.random.default_rng(0)
    corners = np.asarray([[10, 10], [10, -10], [-10, 10], [-10, -10]], np.float32)
    centres = np.concatenate([corners, corners + [100, 0]])
    leaf_labels = np.tile(np.arange(8), 60)
    vectors = centres[leaf_labels] + 0.1 * generator.standard_normal((480, 2))
    ids = [f"blob{index:03d}" for index in range(480)]
    shuffled = generator.permutation(480)
    embeddings = Embeddings(
        vectors[shuffled].astype(np.float32), tuple(ids[row] for row in shuffled), "e" * 64
    )
    index = ImageIndex(tuple(ids), leaf_labels, np.arange(480) < 400, "e" * 64, "t" * 64)
    target = LabelSpace(
        ("left", "right"),
        ("left", "right"),
        (np.arange(8) // 4)[:, None],
        name="side",
        dataset_fingerprint="t" * 64,
    )
    return index, embeddings, target
