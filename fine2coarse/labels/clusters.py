"""k-means clusters of embeddings as classes: within each target class, or over the whole set."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from fine2coarse.files import write_atomic
from fine2coarse.labels import kmeans
from fine2coarse.labels.apportion import share_out
from fine2coarse.labels.embeddings import LARGEST_VALUE, Embeddings
from fine2coarse.labels.grouping import by_group, rows_where
from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.kmeans import KMeansSpec
from fine2coarse.labels.space import UNREADABLE, LabelSpace, LabelSpaceError


@dataclasses.dataclass(frozen=True, eq=False)
class Centroids:
    """What labels new images: each belongs to the nearest centroid (of its target class).

    Attributes:
      vectors: float32 [k, d].
      groups: int32 [k], the target class of each centroid; all 0 for clusters over everything.
      spherical: nearest by cosine.
      target_fingerprint: of the target within whose classes they were made; else empty.
    """

    vectors: np.ndarray
    groups: np.ndarray
    spherical: bool
    target_fingerprint: str = ""

    def __post_init__(self) -> None:
        """Checks shapes and values."""
        if self.vectors.ndim != 2 or self.groups.shape != self.vectors.shape[:1]:
            raise LabelSpaceError(
                f"centroids {self.vectors.shape} and groups {self.groups.shape} do not fit"
            )
        if not (np.abs(self.vectors) <= LARGEST_VALUE).all():
            raise LabelSpaceError(
                f"centroids hold NaN, infinity or values beyond {LARGEST_VALUE:g}; make them again"
            )

    def nearest(
        self, embeddings: Embeddings, rows: np.ndarray, groups: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """The cluster of each row within its group, and the sum of squared distances.

        Args:
          embeddings: of as many dimensions as the centroids.
          rows: int64 [n].
          groups: int [n], the target class of each (zeros for clusters over everything).

        Returns:
          int32 [n], -1 for a group without centroids, and the inertia.
        """
        if embeddings.vectors.shape[1] != self.vectors.shape[1]:
            raise LabelSpaceError(
                f"embeddings of {embeddings.vectors.shape[1]} dimensions, centroids of "
                f"{self.vectors.shape[1]}"
            )
        labels = np.full(len(rows), -1, np.int32)
        inertia = 0.0
        own_of = dict(by_group(self.groups))
        for group, inside in by_group(groups):
            own = own_of.get(group)
            if own is not None:
                nearest, part = kmeans.assign(
                    embeddings.vectors, rows[inside], self.vectors[own], spherical=self.spherical
                )
                labels[inside] = own[nearest]
                inertia += part
        return labels, inertia

    def save(self, path: str | os.PathLike) -> None:
        """Writes an .npz, whole or not at all."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        write_atomic(path, lambda file: np.savez(file, **fields))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Centroids:
        """Reads what `save` wrote.

        Raises:
          LabelSpaceError: where the file is something else, or holds a pickle.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(
                    arrays["vectors"],
                    arrays["groups"],
                    bool(arrays["spherical"]),
                    str(arrays["target_fingerprint"]),
                )
        except UNREADABLE as error:
            raise LabelSpaceError(
                f"{path}: no centroids written by Centroids.save: {error}"
            ) from error


def clusters(
    images: ImageIndex,
    embeddings: Embeddings,
    num_clusters: int,
    *,
    within: LabelSpace | None = None,
    spec: KMeansSpec | None = None,
    seed: int,
) -> tuple[LabelSpace, Centroids]:
    """Clusters the training images; the others get the nearest centroid's class.

    Args:
      images: to label.
      embeddings: a row for each of them, joined by id.
      num_clusters: in all. Within a target, each class gets a share in proportion to its
        training images, at least one.
      within: the target within whose classes to cluster (no cluster straddles them); None to
        cluster everything at once.
      spec: how; the defaults of KMeansSpec where None.
      seed: of the starts.

    Returns:
      The label space, whose source reports the inertia of every start, and the centroids.

    Raises:
      LabelSpaceError: on missing embeddings or values that cannot be computed with, fewer images
        than clusters, fewer clusters than target classes, or an empty target class.
    """
    spec = spec or KMeansSpec()
    kmeans.import_faiss()
    rows = embeddings.rows_for(images.image_ids, images.dataset_fingerprint)
    groups = _groups(images, within)
    shares = _shares(images, groups, num_clusters)
    embeddings.check_values(rows, any_scale=spec.spherical)
    centroids, inertias = _fit_groups(images, embeddings, rows, groups, shares, spec, seed)
    centroids = dataclasses.replace(
        centroids, target_fingerprint="" if within is None else within.fingerprint
    )
    labels, inertia = _label(images, embeddings, rows, groups, centroids)
    sizes = np.bincount(labels[images.is_train], minlength=num_clusters)
    space = images.make_space(
        labels,
        [f"cluster{index}" for index in range(num_clusters)],
        name=f"clusters-{'whole' if within is None else 'within'}-{num_clusters}",
        source={
            "kind": "clusters",
            "num_clusters": num_clusters,
            "within": None if within is None else within.name,
            "within_fingerprint": centroids.target_fingerprint,
            "kmeans": dataclasses.asdict(spec),
            "inertia": inertia,
            "inertia_of_starts": inertias,
            "num_empty_clusters": int(np.sum(sizes == 0)),
            "embeddings": dict(embeddings.source),
            "seed": seed,
        },
    )
    return space, centroids


def assigned(
    images: ImageIndex,
    embeddings: Embeddings,
    centroids: Centroids,
    *,
    within: LabelSpace | None = None,
) -> LabelSpace:
    """Labels other images by centroids made before.

    Raises:
      LabelSpaceError: on missing embeddings or values that cannot be computed with, or another
        target than the one that the centroids were made within.
    """
    fingerprint = "" if within is None else within.fingerprint
    if fingerprint != centroids.target_fingerprint:
        raise LabelSpaceError(
            f"the centroids were made within target {centroids.target_fingerprint[:12] or 'none'}, "
            f"not {fingerprint[:12] or 'none'}"
        )
    rows = embeddings.rows_for(images.image_ids, images.dataset_fingerprint)
    embeddings.check_values(rows, any_scale=centroids.spherical)
    groups = np.zeros(len(images), np.int32) if within is None else images.single_labels(within)
    labels, inertia = _label(images, embeddings, rows, groups, centroids)
    num_clusters = len(centroids.vectors)
    return images.make_space(
        labels,
        [f"cluster{index}" for index in range(num_clusters)],
        name=f"clusters-assigned-{num_clusters}",
        source={"kind": "clusters", "assigned": True, "inertia": inertia},
    )


def powers_of_two(fewest: int, most: int) -> tuple[int, ...]:
    """Numbers of clusters for a sweep: the powers of two in [fewest, most]."""
    exponents = range(max(1, fewest).bit_length() - 1, max(1, most).bit_length())
    return tuple(2**i for i in exponents if fewest <= 2**i <= most)


def _groups(images: ImageIndex, within: LabelSpace | None) -> np.ndarray:
    if within is None:
        return np.zeros(len(images), np.int32)
    return images.target_labels(within)


def _shares(images: ImageIndex, groups: np.ndarray, num_clusters: int) -> np.ndarray:
    sizes = np.bincount(groups[images.is_train])
    if not len(sizes) <= num_clusters <= images.num_train:
        raise LabelSpaceError(
            f"num_clusters={num_clusters}; expected {len(sizes)} (groups to cluster within) to "
            f"{images.num_train} (training images)"
        )
    return share_out(sizes, num_clusters)


def _fit_groups(
    images: ImageIndex,
    embeddings: Embeddings,
    rows: np.ndarray,
    groups: np.ndarray,
    shares: np.ndarray,
    spec: KMeansSpec,
    seed: int,
) -> tuple[Centroids, list[float]]:
    """Centroids of every group, and for each start the inertia summed over groups.

    Groups pick their best starts independently, so the kept inertia may be below every sum.
    """
    vectors, inertias = [], np.zeros(spec.num_restarts)
    train = rows_where(images.is_train)
    for group, places in by_group(groups[train]):  # each has images, see `target_labels`
        members = rows[train[places]]
        found = kmeans.fit(embeddings.vectors, members, int(shares[group]), spec, seed=seed)
        vectors.append(found.centroids)
        inertias += found.inertias
    owners = np.repeat(np.arange(len(shares), dtype=np.int32), shares)
    return Centroids(np.concatenate(vectors), owners, spec.spherical), inertias.tolist()


def _label(
    images: ImageIndex,
    embeddings: Embeddings,
    rows: np.ndarray,
    groups: np.ndarray,
    centroids: Centroids,
) -> tuple[np.ndarray, float]:
    """Clusters of all images, and the inertia of the training images."""
    labels = np.empty(len(images), np.int32)
    train, rest = rows_where(images.is_train), rows_where(~images.is_train)
    labels[train], inertia = centroids.nearest(embeddings, rows[train], groups[train])
    labels[rest], _ = centroids.nearest(embeddings, rows[rest], groups[rest])
    return labels, inertia
