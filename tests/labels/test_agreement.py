"""Sizes, purity, NMI and straddling, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fine2coarse.labels.agreement import agreement, class_sizes
from fine2coarse.labels.describe import agreement_table, summary, with_images
from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.sources import level, random_ids
from fine2coarse.labels.space import LabelSpaceError

metrics = pytest.importorskip("sklearn.metrics")


def random_pair(seed: int):
    generator = np.random.default_rng(seed)
    num = int(generator.integers(50, 400))
    images = ImageIndex(
        tuple(map(str, range(num))), np.zeros(num), np.ones(num, bool), "d" * 64, ""
    )
    spaces = []
    for name in ("left", "right"):
        num_classes = int(generator.integers(1, 30))
        labels = generator.integers(num_classes, size=num)
        spaces.append(
            images.make_space(labels, list(map(str, range(num_classes))), name=name, source={})
        )
    return images, *spaces


@pytest.mark.parametrize("seed", range(20))
def test_purity_and_nmi_are_scikit_learn_s(seed):
    images, left, right = random_pair(seed)
    found = agreement(left, right, images)
    a, b = left.table[:, 0], right.table[:, 0]
    contingency = metrics.cluster.contingency_matrix(b, a)
    assert found.purity == pytest.approx(contingency.max(axis=0).sum() / contingency.sum())
    assert found.nmi == pytest.approx(metrics.normalized_mutual_info_score(b, a), abs=1e-12)
    assert found.num_straddling == np.sum((contingency > 0).sum(axis=0) > 1)
    assert found.num_classes == len(np.unique(a))


def test_by_hand(pets, images):
    species, family = level(pets, "species"), level(pets, "family")
    assert agreement(species, family, images).purity == 1.0
    assert agreement(species, family, images).num_straddling == 0
    back = agreement(family, species, images)
    # The largest species of 40 canids and of 12 felids have ten images each.
    assert back.purity == pytest.approx(20 / 52)
    assert back.num_straddling == 2
    assert agreement(species, species, images).nmi == pytest.approx(1.0)


def test_sizes_and_entropy(pets, images):
    sizes = class_sizes(level(pets, "species"), images)
    assert sizes.sizes.tolist() == [10, 10, 10, 10, 10, 2]
    shares = np.asarray([10, 10, 10, 10, 10, 2]) / 52
    assert sizes.entropy_bits == pytest.approx(-np.sum(shares * np.log2(shares)))
    even = class_sizes(random_ids(images, 13, seed=0), images)
    assert even.num_effective_classes == pytest.approx(13)
    assert class_sizes(random_ids(images, 1, seed=0), images).entropy_bits == 0.0


def test_an_image_of_two_classes_counts_half_in_each(zoo):
    images = ImageIndex(tuple("abcd"), np.arange(4), np.ones(4, bool), "", zoo.fingerprint)
    space = level(zoo, "1")  # artefact: half the toy dog and the car; dog: poodle and half
    assert dict(zip(space.class_ids, class_sizes(space, images).sizes)) == {
        "artefact": 1.5,
        "dog": 1.5,
        "toy": 1.0,
    }
    found = agreement(level(zoo, "0"), space, images)
    assert (found.purity, found.num_straddling) == (3.5 / 4, 1)


def test_nothing_in_common(images, pets):
    nothing = images.make_space(np.full(len(images), -1), ["a"], name="none", source={})
    with pytest.raises(LabelSpaceError, match="no training image"):
        agreement(nothing, level(pets, "family"), images)


def test_the_text_names_what_counts(pets, images):
    species, family = level(pets, "species"), level(pets, "family")
    assert "species: 6 classes, single-label, keyed by leaf" in summary(species)
    assert "52 labelled, 0 left out" in with_images(species, images)
    assert "as 5.5 classes of equal size" in with_images(species, images)
    table = agreement_table(family, [species, family], images).splitlines()
    assert table[0].split() == ["against", "classes", "purity", "NMI", "straddling", "images"]
    assert table[2].split()[0] == "species" and "2 of 2" in table[2] and "0.3846" in table[2]
    assert "0 of 2" in table[3] and "1.0000" in table[3]
