"""k-means by faiss: restarts, exact inertia, bounded memory, the same result on any threads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from fine2coarse.labels.embeddings import unit_rows
from fine2coarse.labels.space import LabelSpaceError

# Rows that are in memory at a time while labelling, beside those being clustered.
BLOCK_ROWS = 32_768
SEEDINGS = ("afk_mc2", "kmeans_plus_plus", "random")


@dataclasses.dataclass(frozen=True)
class KMeansSpec:
    """How to cluster.

    Attributes:
      spherical: rows and centroids of length one, nearest by cosine (Dhillon and Modha, Machine
        Learning 42, 2001); else plain k-means.
      num_iterations: Lloyd's iterations of each start.
      num_restarts: starts, of which the one with the least inertia is kept.
      max_rows_per_cluster: where there are more rows than this a cluster, so many are drawn to
        cluster (256 is faiss's own choice); all rows are labelled, and count in the inertia.
      seeding: 'afk_mc2' (Bachem et al., NeurIPS 2016: as good as k-means++ at a fraction of its
        cost), 'kmeans_plus_plus' or 'random'.
    """

    spherical: bool = False
    num_iterations: int = 25
    num_restarts: int = 3
    max_rows_per_cluster: int = 256
    seeding: str = "afk_mc2"

    def __post_init__(self) -> None:
        """Checks counts and the choice of seeding."""
        for field in ("num_iterations", "num_restarts", "max_rows_per_cluster"):
            if getattr(self, field) < 1:
                raise LabelSpaceError(f"{field} must be at least 1, got {getattr(self, field)}")
        if self.seeding not in SEEDINGS:
            raise LabelSpaceError(f"seeding is one of {SEEDINGS}, got {self.seeding!r}")


@dataclasses.dataclass(frozen=True, eq=False)
class KMeansFit:
    """The best of several starts.

    Attributes:
      centroids: float32 [k, d], of length one where spherical.
      labels: int32 [n], the nearest centroid of each row.
      inertias: the inertia of each start: the sum over all rows of the squared distance to the
        nearest centroid (of unit rows where spherical).
    """

    centroids: np.ndarray
    labels: np.ndarray
    inertias: tuple[float, ...]

    @property
    def inertia(self) -> float:
        """That of the start that was kept."""
        return min(self.inertias)


def fit(
    vectors: np.ndarray, rows: np.ndarray, num_clusters: int, spec: KMeansSpec, *, seed: int
) -> KMeansFit:
    """Clusters some rows of a matrix.

    In memory at a time are at most `num_clusters · max_rows_per_cluster` rows, and a block.

    Args:
      vectors: float [N, d], perhaps memory-mapped; see `Embeddings.check_values`.
      rows: int64 [n], which rows to cluster.
      num_clusters: k <= n.
      spec: how.
      seed: of starts and draws.

    Raises:
      LabelSpaceError: where there are fewer rows than clusters.
    """
    if not 1 <= num_clusters <= len(rows):
        raise LabelSpaceError(f"{num_clusters} clusters of {len(rows)} images; expected 1 to that")
    drawn = _drawn(rows, num_clusters * spec.max_rows_per_cluster, seed)
    sample = gather(vectors, drawn, unit=spec.spherical)
    best: tuple[np.ndarray, np.ndarray] | None = None
    inertias: list[float] = []
    for restart in range(spec.num_restarts):
        centroids = _train(sample, num_clusters, spec, seed=_mixed_seed(seed, restart))
        labels, inertia = assign(vectors, rows, centroids, spherical=spec.spherical)
        if best is None or inertia < min(inertias):
            best = centroids, labels
        inertias.append(inertia)
    return KMeansFit(*best, tuple(inertias))


def assign(
    vectors: np.ndarray, rows: np.ndarray, centroids: np.ndarray, *, spherical: bool
) -> tuple[np.ndarray, float]:
    """The nearest centroid of each row, and the inertia.

    Args:
      vectors: float [N, d].
      rows: int64 [n], which to label.
      centroids: float32 [k, d].
      spherical: compare by cosine.

    Returns:
      int32 [n], and the sum of squared distances.
    """
    index = _index(centroids.shape[1], spherical)
    index.add(np.ascontiguousarray(centroids))
    labels = np.empty(len(rows), np.int32)
    inertia = 0.0
    for start, block in _blocks(vectors, rows, unit=spherical):
        nearest = index.search(block, 1)[1][:, 0]
        labels[start : start + len(block)] = nearest
        offsets = block - centroids[nearest]
        inertia += float(np.einsum("nd,nd->", offsets, offsets, dtype=np.float64))
    return labels, inertia


def gather(vectors: np.ndarray, rows: np.ndarray, *, unit: bool) -> np.ndarray:
    """Some rows as contiguous float32 [n, d], of length one if `unit`.

    Raises:
      LabelSpaceError: where a row that should have length one is zero.
    """
    if not unit:
        return np.ascontiguousarray(vectors[rows], np.float32)
    found, is_zero = unit_rows(vectors[rows])
    if is_zero.any():
        raise LabelSpaceError(
            f"{is_zero.sum()} embeddings are zero and have no direction, such as row "
            f"{rows[is_zero.argmax()]}; cluster them with spherical=False"
        )
    return found


def import_faiss() -> Any:
    """The faiss module.

    Raises:
      LabelSpaceError: saying how to install it.
    """
    try:
        import faiss
    except ImportError as error:
        raise LabelSpaceError(
            "clusters need faiss, which is not installed: pip install 'fine2coarse[clusters]'"
        ) from error
    return faiss


def _train(sample: np.ndarray, num_clusters: int, spec: KMeansSpec, *, seed: int) -> np.ndarray:
    faiss = import_faiss()
    parameters = faiss.ClusteringParameters()
    parameters.niter = spec.num_iterations
    parameters.seed = seed
    parameters.spherical = spec.spherical
    parameters.init_method = {
        "afk_mc2": faiss.ClusteringInitMethod_AFK_MC2,
        "kmeans_plus_plus": faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
        "random": faiss.ClusteringInitMethod_RANDOM,
    }[spec.seeding]
    parameters.min_points_per_centroid = 1  # silences a warning; we check the number ourselves
    parameters.max_points_per_centroid = len(sample)  # the sample is drawn already
    clustering = faiss.Clustering(sample.shape[1], num_clusters, parameters)
    clustering.train(sample, _index(sample.shape[1], spec.spherical))
    return faiss.vector_to_array(clustering.centroids).reshape(num_clusters, -1).copy()


def _index(num_dims: int, spherical: bool) -> Any:
    faiss = import_faiss()
    return (faiss.IndexFlatIP if spherical else faiss.IndexFlatL2)(num_dims)


def _drawn(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    if len(rows) <= most:
        return rows
    generator = np.random.default_rng([seed, 1])
    return rows[np.sort(generator.choice(len(rows), most, replace=False))]


def _mixed_seed(seed: int, restart: int) -> int:
    """A seed of its own for every start, in the 31 bits that faiss takes."""
    return int(np.random.SeedSequence([seed, restart]).generate_state(1)[0] >> 1)


def _blocks(
    vectors: np.ndarray, rows: np.ndarray, *, unit: bool
) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(rows), BLOCK_ROWS):
        yield start, gather(vectors, rows[start : start + BLOCK_ROWS], unit=unit)
