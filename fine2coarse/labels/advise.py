"""How many clusters? A held-out criterion that costs some k-means fits instead of pretraining.

A number of clusters is scored, in bits, by

    reproducible information - ambiguity of the target.

*Reproducible information*: two disjoint halves of the images are clustered independently, and
both sets of centroids label all images. Their mutual information, counted on the
halves and measured on images that neither half has, is what such labels can teach about unseen
images. Few clusters carry little information; with too many, the halves split similar images in
different places and agree little. A half is clustered into its share of the candidate's number of
clusters, so that a cluster has as many images as it would have of all. That the number of clusters
should maximise the information which solutions from two samples share is Buhmann's proposal
("Information theoretic model validation for clustering", ISIT 2010); judging a clustering as a
classifier of held-out data is Tibshirani and Walther's ("Cluster validation by prediction
strength", J. Comput. Graph. Statist. 14, 2005).

*Ambiguity of the target*: the cross-entropy of the target class given the cluster, counted on one
part of the labelled sample and measured on the other. As a measure of how well one labelling
serves another task it is Tran, Nguyen and Hassner's (ICCV 2019). It is zero for clusters made
within the target's classes.

Weighing a bit of one like a bit of the other is our choice; `docs/labels.md` compares the ranking
with studies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from fine2coarse.labels import kmeans
from fine2coarse.labels.apportion import share_out
from fine2coarse.labels.clusters import powers_of_two
from fine2coarse.labels.embeddings import Embeddings
from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.information import ambiguity_bits, held_out_information_bits
from fine2coarse.labels.kmeans import KMeansSpec
from fine2coarse.labels.space import LabelSpace, LabelSpaceError


@dataclasses.dataclass(frozen=True)
class AdviseSpec:
    """How to score.

    Attributes:
      num_labelled: training images whose target class may be used to measure ambiguity.
      num_repeats: random partitions of the images into two halves and a held-out part.
      max_images: images drawn to be clustered and held out; bounds time and memory.
      held_out_share: share of the images drawn that is held out.
    """

    num_labelled: int = 500
    num_repeats: int = 5
    max_images: int = 20_000
    held_out_share: float = 0.2

    def __post_init__(self) -> None:
        """Checks counts and the share."""
        for field in ("num_labelled", "num_repeats", "max_images"):
            if getattr(self, field) < 2:
                raise LabelSpaceError(f"{field} must be at least 2, got {getattr(self, field)}")
        if not 0 < self.held_out_share < 1:
            raise LabelSpaceError(f"held_out_share={self.held_out_share}; expected in (0, 1)")


@dataclasses.dataclass(frozen=True)
class Advice:
    """The score of one number of clusters.

    Attributes:
      num_clusters: the candidate.
      scores: bits, one for each repeat.
      information: mean reproducible information in bits.
      ambiguity: mean ambiguity of the target in bits.
      gap: mean over repeats of the best candidate's score minus this one's (0 for the best).
      gap_error: standard error of that gap over the repeats, which share their partitions.
      is_good: whether the gap is within its standard error: the candidate may be as good
        as the best (the one-standard-error rule of Breiman et al., CART, 1984).
    """

    num_clusters: int
    scores: tuple[float, ...]
    information: float
    ambiguity: float
    gap: float = 0.0
    gap_error: float = 0.0
    is_good: bool = False

    @property
    def score(self) -> float:
        """Mean over the repeats."""
        return float(np.mean(self.scores))


def advise(
    images: ImageIndex,
    embeddings: Embeddings,
    target: LabelSpace,
    candidates: Sequence[int],
    *,
    aligned: bool,
    kmeans_spec: KMeansSpec | None = None,
    spec: AdviseSpec | None = None,
    seed: int,
) -> list[Advice]:
    """Ranks numbers of clusters, the best first.

    Args:
      images: of which the training images are clustered.
      embeddings: a row for each of them, joined by id.
      target: the coarse task. Aligned clusters need it for every training image; the others
        for `num_labelled` alone.
      candidates: numbers of clusters, in all; where empty the powers of two from twice the
        number of target classes to a quarter of the images drawn.
      aligned: whether clusters would be made within the target's classes.
      kmeans_spec: how they would be made.
      spec: how to score.
      seed: of all draws.

    Raises:
      LabelSpaceError: where a candidate has more clusters than a half has images or fewer than
        there are target classes, or embeddings are missing or cannot be computed with.
    """
    spec = spec or AdviseSpec()
    kmeans_spec = kmeans_spec or KMeansSpec()
    train = np.flatnonzero(images.is_train)
    rows = embeddings.rows_for(images.train_ids, images.dataset_fingerprint)
    embeddings.check_values(rows, any_scale=kmeans_spec.spherical)
    targets = images.target_labels(target)[train]
    trials = [
        _Trial.draw(rows, targets, spec, aligned=aligned, seed=(seed, repeat))
        for repeat in range(spec.num_repeats)
    ]
    if not candidates:
        candidates = powers_of_two(2 * target.num_classes, trials[0].num_images // 4)
    if len(set(candidates)) < 2:
        raise LabelSpaceError(f"expected at least two candidates to rank, got {list(candidates)}")
    for num_clusters in candidates:
        for trial in trials:
            trial.check(num_clusters)
    advices = [
        _score(embeddings.vectors, trials, num_clusters, kmeans_spec)
        for num_clusters in sorted(set(candidates))
    ]
    return _ranked(advices)


@dataclasses.dataclass(frozen=True, eq=False)
class _Trial:
    """One partition: rows and target classes of two halves and of what is held out."""

    halves: tuple[tuple[np.ndarray, np.ndarray], ...]
    held_out: tuple[np.ndarray, np.ndarray]
    labelled: tuple[np.ndarray, np.ndarray]
    aligned: bool
    seed: tuple[int, int]

    @classmethod
    def draw(
        cls,
        rows: np.ndarray,
        targets: np.ndarray,
        spec: AdviseSpec,
        *,
        aligned: bool,
        seed: tuple[int, int],
    ) -> _Trial:
        # One labelled sample for all repeats: that is what a user has. The rest is drawn again.
        labelled = np.random.default_rng(seed[0]).permutation(len(rows))[: spec.num_labelled]
        order = np.random.default_rng(seed).permutation(len(rows))[: spec.max_images]
        num_held_out = max(1, round(spec.held_out_share * len(order)))
        half = (len(order) - num_held_out) // 2
        parts = np.split(order, [half, 2 * half])
        pairs = [(rows[part], targets[part]) for part in (*parts, labelled)]
        return cls(tuple(pairs[:2]), pairs[2], pairs[3], aligned, seed)

    @property
    def num_images(self) -> int:
        return sum(len(rows) for rows, _ in (*self.halves, self.held_out))

    def groups(self, targets: np.ndarray) -> np.ndarray:
        return targets if self.aligned else np.zeros_like(targets)

    def check(self, num_clusters: int) -> None:
        for _, targets in self.halves:
            least = len(np.unique(self.groups(targets)))
            if not least <= num_clusters <= self.num_images:
                raise LabelSpaceError(
                    f"candidate {num_clusters}: expected {least} to {self.num_images} clusters, "
                    "the number of images drawn; raise max_images or drop the candidate"
                )


def _score(
    vectors: np.ndarray, trials: Sequence[_Trial], num_clusters: int, spec: KMeansSpec
) -> Advice:
    information, ambiguity = [], []
    for trial in trials:
        centroids = [
            _fit(vectors, trial, half, num_clusters, spec, side)
            for side, half in enumerate(trial.halves)
        ]
        information.append(_shared_bits(vectors, trial, centroids, spec))
        labelled = [_nearest(vectors, trial, trial.labelled, found, spec) for found in centroids]
        targets = trial.labelled[1]
        ambiguity.append(
            0.0
            if trial.aligned
            else float(np.mean([ambiguity_bits(found, targets, trial.seed) for found in labelled]))
        )
    scores = tuple(np.subtract(information, ambiguity).tolist())
    return Advice(num_clusters, scores, float(np.mean(information)), float(np.mean(ambiguity)))


def _shared_bits(
    vectors: np.ndarray, trial: _Trial, centroids: Sequence[dict[int, np.ndarray]], spec: KMeansSpec
) -> float:
    parts = (*trial.halves, trial.held_out)
    left, right = (
        np.concatenate([_nearest(vectors, trial, part, found, spec) for part in parts])
        for found in centroids
    )
    is_counted = np.arange(len(left)) < len(left) - len(trial.held_out[0])
    # A group without centroids in one half has no cluster there: a class of its own.
    left, right = left + 1, right + 1
    return 0.5 * (
        held_out_information_bits(left, right, is_counted)
        + held_out_information_bits(right, left, is_counted)
    )


def _ranked(advices: Sequence[Advice]) -> list[Advice]:
    order = sorted(advices, key=lambda advice: -advice.score)
    best = np.asarray(order[0].scores)
    ranked = []
    for advice in order:
        gaps = best - advice.scores
        error = float(np.std(gaps, ddof=1) / np.sqrt(len(gaps)))
        gap = float(np.mean(gaps))
        ranked.append(dataclasses.replace(advice, gap=gap, gap_error=error, is_good=gap <= error))
    return ranked


def _fit(
    vectors: np.ndarray,
    trial: _Trial,
    half: tuple[np.ndarray, np.ndarray],
    num_clusters: int,
    spec: KMeansSpec,
    side: int,
) -> dict[int, np.ndarray]:
    """Centroids by group."""
    rows, groups = half[0], trial.groups(half[1])
    present, sizes = np.unique(groups, return_counts=True)
    share_of_half = round(num_clusters * len(rows) / trial.num_images)
    num_clusters = min(max(share_of_half, len(present)), len(rows))
    seed = int(np.random.SeedSequence([*trial.seed, side]).generate_state(1)[0] >> 1)
    return {
        int(group): kmeans.fit(
            vectors, rows[groups == group], int(share), spec, seed=seed
        ).centroids
        for group, share in zip(present, share_out(sizes, num_clusters))
    }


def _nearest(
    vectors: np.ndarray,
    trial: _Trial,
    part: tuple[np.ndarray, np.ndarray],
    centroids: dict[int, np.ndarray],
    spec: KMeansSpec,
) -> np.ndarray:
    """Clusters of a part's images, numbered over all groups; -1 in a group without any."""
    rows, groups = part[0], trial.groups(part[1])
    labels = np.full(len(rows), -1, np.int64)
    first = 0
    for group, found in centroids.items():
        inside = np.flatnonzero(groups == group)
        if len(inside):
            nearest, _ = kmeans.assign(vectors, rows[inside], found, spherical=spec.spherical)
            labels[inside] = first + nearest
        first += len(found)
    return labels
