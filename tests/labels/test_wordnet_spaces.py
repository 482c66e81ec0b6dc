"""Levels and cuts over ImageNet-21k's own synsets, all of them and the miniature's 200."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest

from fine2coarse.labels.agreement import agreement, class_sizes
from fine2coarse.labels.embeddings import Embeddings
from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.sources import clusters, cut, level, mixed
from fine2coarse.labels.space import LabelSpace, LabelSpaceError
from fine2coarse.taxonomy import Taxonomy, read_wordnet


@pytest.fixture(scope="module")
def wordnet() -> Taxonomy:
    return read_wordnet()


@pytest.fixture(scope="module")
def miniature(shared_data) -> tuple[Taxonomy, np.ndarray]:
    """The taxonomy of all 21,843 leaves, and which have images in the miniature (200 each).

    One of its 200 synsets (n04399382, teddy) is none of them.
    """
    with tarfile.open(shared_data / "imagenet21k_mini" / "fall11_whole.tar") as archive:
        present = {name.removesuffix(".tar") for name in archive.getnames()}
    taxonomy = read_wordnet()
    return taxonomy, np.asarray([200 * (leaf in present) for leaf in taxonomy.leaf_ids])


def upper_nodes(taxonomy: Taxonomy, node: int) -> set[int]:
    found, pending = set(), [node]
    while pending:
        new = set(taxonomy.parents[pending.pop()]) - found
        found |= new
        pending += new
    return found


def assert_antichain(taxonomy: Taxonomy, space: LabelSpace) -> None:
    nodes = {taxonomy.index[class_id] for class_id in space.class_ids}
    assert not any(nodes & upper_nodes(taxonomy, node) for node in nodes)


def test_levels_with_a_rule_have_one_class_each(wordnet):
    """519 classes at level 4, of which single labels leave fewer."""
    every = level(wordnet, "4")
    assert every.num_classes == 519 and every.is_multi_label
    for rule in ("first", "deepest"):
        single = level(wordnet, "4", rule)
        assert not single.is_multi_label and (single.table >= 0).all()
        assert set(single.class_ids) < set(every.class_ids)


@pytest.mark.parametrize("num_classes", [23, 100, 1000])
def test_cuts_of_all_leaves(wordnet, num_classes):
    space = cut(wordnet, num_classes, drop_uncovered=True)
    assert abs(space.num_classes - num_classes) <= 0.2 * num_classes
    assert_antichain(wordnet, space)
    assert cut(wordnet, num_classes, drop_uncovered=True).fingerprint == space.fingerprint
    uncovered = [leaf for leaf, row in zip(wordnet.leaf_nodes, space.table) if row[0] < 0]
    below = set().union(*(upper_nodes(wordnet, wordnet.index[c]) for c in space.class_ids))
    assert set(uncovered) <= below  # left out: inner nodes that the cut runs below


def test_a_cut_that_covers_every_leaf(wordnet):
    space = cut(wordnet, 100)
    assert space.num_classes == 100 and (space.table >= 0).all()
    assert_antichain(wordnet, space)
    with pytest.raises(LabelSpaceError, match="nearest cut that covers every leaf has 470 classes"):
        cut(wordnet, 5000)


def test_superclasses_of_the_miniature(miniature):
    taxonomy, sizes = miniature
    space = cut(taxonomy, 23, leaf_sizes=sizes)
    assert space.num_classes == 23
    assert_antichain(taxonomy, space)
    assert (space.table[sizes > 0] >= 0).all()
    found = np.bincount(space.table[sizes > 0, 0], weights=sizes[sizes > 0])
    assert found.sum() == 39_800 and found.min() >= 200
    # Far evener than the level with as many classes.
    assert found.max() < 6000


def test_clusters_within_the_miniature_s_superclasses_do_not_straddle(miniature):
    pytest.importorskip("faiss")
    taxonomy, sizes = miniature
    leaves = np.repeat(np.flatnonzero(sizes), 20)
    ids = tuple(f"image{index}" for index in range(len(leaves)))
    images = ImageIndex(ids, leaves, np.ones(len(ids), bool), "d", taxonomy.fingerprint)
    vectors = np.random.default_rng(0).standard_normal((len(ids), 16), np.float32)
    target = cut(taxonomy, 23, leaf_sizes=sizes)
    within, _ = clusters(images, Embeddings(vectors, ids), 100, within=target, seed=0)
    whole, _ = clusters(images, Embeddings(vectors, ids), 100, seed=0)
    assert agreement(within, target, images).num_straddling == 0
    assert agreement(whole, target, images).num_straddling >= 95
    assert class_sizes(within, images).num_images == 3980


def test_mixed_levels_of_the_miniature(miniature):
    taxonomy, sizes = miniature
    sizes = np.where(np.arange(len(sizes)) % 2, sizes, sizes // 4)
    space = mixed(taxonomy, sizes, 150)
    found = np.bincount(space.table[sizes > 0, 0], weights=sizes[sizes > 0])
    assert found.sum() == sizes.sum() and (found > 0).all()
    small = np.sum((found > 0) & (found < 150))
    assert small == space.source["num_classes_below_min"] < 0.1 * np.count_nonzero(found)
    assert space.source["num_leaves_kept"] >= np.sum(sizes == 200)
