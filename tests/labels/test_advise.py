"""Advice on the number of clusters: right where the answer is known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from fine2coarse.labels.advise import AdviseSpec, advise
from fine2coarse.labels.describe import advice_table
from fine2coarse.labels.embeddings import Embeddings
from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.information import (
    ambiguity_bits,
    held_out_information_bits,
)
from fine2coarse.labels.space import LabelSpace, LabelSpaceError

metrics = pytest.importorskip("sklearn.metrics")
pytest.importorskip("faiss")

CANDIDATES = (2, 4, 8, 16, 32, 64, 128, 256)
QUICK = AdviseSpec(num_repeats=3)


def mixture(num_groups: int, num_targets: int, *, nested: bool):
    """2,000 points around `num_groups` far centres in 64 dimensions."""
    generator = np.random.default_rng(num_groups)
    centres = 6.0 * generator.standard_normal((num_groups, 64))
    group = np.arange(2000) % num_groups
    vectors = centres[group] + generator.standard_normal((2000, 64))
    target = group % num_targets if nested else generator.integers(num_targets, size=2000)
    ids = tuple(map(str, range(2000)))
    images = ImageIndex(ids, target, np.ones(2000, bool), "d" * 64, "t" * 64)
    names = tuple(map(str, range(num_targets)))
    space = LabelSpace(names, names, np.arange(num_targets)[:, None], dataset_fingerprint="t" * 64)
    return images, Embeddings(vectors.astype(np.float32), ids), space


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("num_groups", [8, 32])
def test_it_finds_the_groups_and_how_much_they_tell(num_groups, aligned):
    """Groups that are far apart are worth log2 of their number; splitting them adds nothing."""
    images, embeddings, target = mixture(num_groups, 2, nested=True)
    ranking = advise(images, embeddings, target, CANDIDATES, aligned=aligned, spec=QUICK, seed=0)
    assert {advice.num_clusters for advice in ranking} == set(CANDIDATES)
    # A half is cut into two fifths as many clusters; k-means finds groups best with a few more.
    assert 2 * num_groups <= ranking[0].num_clusters <= 8 * num_groups and ranking[0].is_good
    assert ranking[0].information == pytest.approx(np.log2(num_groups), abs=0.1)
    scores = [advice.score for advice in ranking]
    assert scores == sorted(scores, reverse=True)
    assert not any(a.is_good for a in ranking if a.num_clusters < num_groups)
    assert all(advice.gap >= 0 and advice.gap_error >= 0 for advice in ranking)


def test_where_there_are_no_groups_there_is_nothing_to_tell():
    images, embeddings, target = mixture(1, 2, nested=False)
    ranking = advise(images, embeddings, target, CANDIDATES, aligned=False, spec=QUICK, seed=0)
    assert all(advice.information < 0.2 for advice in ranking)
    assert all(advice.ambiguity == pytest.approx(1.0, abs=0.05) for advice in ranking)


def test_ambiguity_counts_where_clusters_straddle_the_target():
    images, embeddings, unrelated = mixture(8, 2, nested=False)
    straddling = advise(images, embeddings, unrelated, (32, 64), aligned=False, spec=QUICK, seed=0)
    images, embeddings, nested = mixture(8, 2, nested=True)
    within = advise(images, embeddings, nested, (32, 64), aligned=False, spec=QUICK, seed=0)
    assert straddling[0].ambiguity == pytest.approx(1.0, abs=0.05)
    assert within[0].ambiguity < 0.05


def test_the_same_seed_gives_the_same_scores():
    images, embeddings, target = mixture(8, 2, nested=True)
    first, again, other = (
        advise(images, embeddings, target, (4, 8), aligned=False, spec=QUICK, seed=seed)
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_candidates_of_its_own_are_powers_of_two():
    images, embeddings, target = mixture(8, 2, nested=True)
    ranking = advise(images, embeddings, target, (), aligned=True, spec=QUICK, seed=0)
    # Twice two target classes, to a quarter of 2,000 images.
    assert sorted(a.num_clusters for a in ranking) == [4, 8, 16, 32, 64, 128, 256]
    assert f"Try first: {ranking[0].num_clusters}" in advice_table(ranking)


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ((8,), "at least two candidates"),
        ((8, 2001), "candidate 2001: expected 2 to 2000 clusters"),
        ((1, 8), "candidate 1: expected 2 to 2000"),
    ],
)
def test_candidates_that_cannot_be(candidates, message):
    images, embeddings, target = mixture(8, 2, nested=True)
    with pytest.raises(LabelSpaceError, match=message):
        advise(images, embeddings, target, candidates, aligned=True, spec=QUICK, seed=0)


def test_bad_settings():
    with pytest.raises(LabelSpaceError, match="num_repeats must be at least 2"):
        AdviseSpec(num_repeats=1)
    with pytest.raises(LabelSpaceError, match="held_out_share"):
        AdviseSpec(held_out_share=1.0)


def test_information_by_hand():
    generator = np.random.default_rng(0)
    counted = np.arange(4000) < 3000
    left = generator.integers(8, size=4000)
    same, unrelated = left.copy(), generator.integers(8, size=4000)
    assert held_out_information_bits(left, same, counted) == pytest.approx(3.0, abs=0.02)
    assert held_out_information_bits(left, left // 2, counted) == pytest.approx(2.0, abs=0.02)
    assert held_out_information_bits(left // 2, left, counted) == pytest.approx(2.0, abs=0.02)
    assert held_out_information_bits(left, unrelated, counted) == pytest.approx(0.0, abs=0.02)


def test_information_between_many_classes_is_not_overestimated():
    """Sixteen groups, each split in eight at random by both sides: four bits are shared."""
    generator = np.random.default_rng(0)
    group = generator.integers(16, size=4000)
    left, right = (8 * group + generator.integers(8, size=4000) for _ in range(2))
    found = held_out_information_bits(left, right, np.arange(4000) < 3000)
    assert 3.2 < found <= 4.02
    by_counting = metrics.mutual_info_score(left[3000:], right[3000:]) / np.log(2)
    assert by_counting > 4.5


def test_ambiguity_by_hand():
    generator = np.random.default_rng(0)
    targets = generator.integers(2, size=4000)
    assert ambiguity_bits(targets, targets, (0,)) < 0.01
    assert ambiguity_bits(np.zeros(4000, int), targets, (0,)) == pytest.approx(1.0, abs=0.01)
    # The cluster says the class in three cases of four: 0.811 bits are left open.
    flipped = np.where(generator.random(4000) < 0.25, 1 - targets, targets)
    assert ambiguity_bits(flipped, targets, (0,)) == pytest.approx(0.811, abs=0.03)
    # Clusters of one image each say nothing about a held-out image.
    assert ambiguity_bits(np.arange(4000), targets, (0,)) == pytest.approx(1.0, abs=0.01)
