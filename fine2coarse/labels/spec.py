"""Label spaces as a configuration names them: one small record for each way to make one.

Each record is made from a mapping with a `kind` (`from_mapping`), and makes a label space from a
`Context`. Records whose classes must not straddle the target's say `aligned=True`: the target is
the context's.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from fine2coarse.labels import sources
from fine2coarse.labels.clusters import Centroids
from fine2coarse.labels.embeddings import Embeddings
from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.kmeans import KMeansSpec
from fine2coarse.labels.space import LabelSpace, LabelSpaceError
from fine2coarse.taxonomy.taxonomy import Taxonomy


@dataclasses.dataclass(frozen=True, eq=False)
class Context:
    """What label spaces are made for.

    Attributes:
      taxonomy: of the dataset.
      images: of the dataset.
      target: the coarse task, which aligned spaces stay within; None where there is none.
    """

    taxonomy: Taxonomy
    images: ImageIndex
    target: LabelSpace | None = None

    def within(self, aligned: bool) -> LabelSpace | None:
        """The target where `aligned`.

        Raises:
          LabelSpaceError: where there is none to be aligned with.
        """
        if aligned and self.target is None:
            raise LabelSpaceError("aligned=True needs a target to be aligned with; name one")
        return self.target if aligned else None

    def leaf_sizes(self) -> list[int]:
        """Training images of each leaf."""
        return self.images.leaf_sizes(self.taxonomy.num_leaves).tolist()


@dataclasses.dataclass(frozen=True)
class Level:
    """See `sources.level`."""

    level: str
    rule: str = ""

    def build(self, context: Context) -> LabelSpace:
        """Makes the label space."""
        return sources.level(context.taxonomy, self.level, self.rule)


@dataclasses.dataclass(frozen=True)
class Cut:
    """See `sources.cut` and, where `nodes` are listed, `sources.chosen_nodes`."""

    num_classes: int = 0
    nodes: tuple[str, ...] = ()
    drop_uncovered: bool = False

    def __post_init__(self) -> None:
        """Checks that the number or the list is given, not both."""
        if bool(self.num_classes) == bool(self.nodes):
            raise LabelSpaceError(
                f"a cut needs num_classes or a list of nodes, and not both; got "
                f"num_classes={self.num_classes} and {len(self.nodes)} nodes"
            )

    def build(self, context: Context) -> LabelSpace:
        """Makes the label space, balancing training images."""
        if self.nodes:
            return sources.chosen_nodes(
                context.taxonomy, self.nodes, drop_uncovered=self.drop_uncovered
            )
        return sources.cut(
            context.taxonomy,
            self.num_classes,
            leaf_sizes=context.leaf_sizes(),
            drop_uncovered=self.drop_uncovered,
        )


@dataclasses.dataclass(frozen=True)
class Mixed:
    """See `sources.mixed`."""

    min_images: int
    rule: str = "first"
    drop_uncovered: bool = False

    def build(self, context: Context) -> LabelSpace:
        """Makes the label space."""
        return sources.mixed(
            context.taxonomy,
            context.leaf_sizes(),
            self.min_images,
            rule=self.rule,
            drop_uncovered=self.drop_uncovered,
        )


@dataclasses.dataclass(frozen=True)
class Random:
    """See `sources.random_ids` and, where a space to follow is named, `sources.random_like`."""

    num_classes: int = 0
    like: Source | None = None
    aligned: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks that the number or the space is given, not both."""
        if bool(self.num_classes) == (self.like is not None):
            raise LabelSpaceError(
                f"random ids need num_classes or a space to be like, and not both; got "
                f"num_classes={self.num_classes} and like={self.like}"
            )

    def build(self, context: Context) -> LabelSpace:
        """Makes the label space."""
        within = context.within(self.aligned)
        if self.like is not None:
            like = self.like.build(context)
            return sources.random_like(context.images, like, within=within, seed=self.seed)
        return sources.random_ids(context.images, self.num_classes, within=within, seed=self.seed)


@dataclasses.dataclass(frozen=True)
class Clusters:
    """See `sources.clusters` and, where centroids are named, `sources.assigned`."""

    num_clusters: int = 0
    embeddings: str = ""
    ids: str = ""
    aligned: bool = True
    centroids: str = ""
    spherical: bool = False
    num_iterations: int = KMeansSpec.num_iterations
    num_restarts: int = KMeansSpec.num_restarts
    max_rows_per_cluster: int = KMeansSpec.max_rows_per_cluster
    seeding: str = KMeansSpec.seeding
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks that embeddings are named, and the number or the centroids, not both."""
        if not self.embeddings:
            raise LabelSpaceError(
                "clusters need embeddings: a .npy written by launch/embed.py (or one of your own, "
                "with `ids`)"
            )
        if bool(self.num_clusters) == bool(self.centroids):
            raise LabelSpaceError(
                f"clusters need num_clusters or a file of centroids, and not both; got "
                f"num_clusters={self.num_clusters} and centroids={self.centroids!r}"
            )

    @property
    def kmeans(self) -> KMeansSpec:
        """How to cluster."""
        return KMeansSpec(
            self.spherical,
            self.num_iterations,
            self.num_restarts,
            self.max_rows_per_cluster,
            self.seeding,
        )

    def build(self, context: Context) -> LabelSpace:
        """Makes the label space."""
        return self.build_with_centroids(context)[0]

    def build_with_centroids(self, context: Context) -> tuple[LabelSpace, Centroids]:
        """Makes the label space, and gives the centroids that label new images."""
        within = context.within(self.aligned)
        embeddings = Embeddings.load(self.embeddings, self.ids)
        if self.centroids:
            centroids = Centroids.load(self.centroids)
            return sources.assigned(context.images, embeddings, centroids, within=within), centroids
        return sources.clusters(
            context.images,
            embeddings,
            self.num_clusters,
            within=within,
            spec=self.kmeans,
            seed=self.seed,
        )


@dataclasses.dataclass(frozen=True)
class PerImage:
    """See `sources.per_image`."""

    def build(self, context: Context) -> LabelSpace:
        """Makes the label space, of the training images alone."""
        images = context.images
        trained = [image_id for image_id, kept in zip(images.image_ids, images.is_train) if kept]
        return sources.per_image(trained, dataset_fingerprint=images.dataset_fingerprint)


@dataclasses.dataclass(frozen=True)
class SizeMatched:
    """See `sources.fixed_images_per_class` and `sources.fixed_total_images`."""

    base: Source
    num_images_per_class: int = 0
    num_images_total: int = 0
    aligned: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks that one control is chosen."""
        if bool(self.num_images_per_class) == bool(self.num_images_total):
            raise LabelSpaceError(
                f"choose one control: num_images_per_class or num_images_total; got "
                f"{self.num_images_per_class} and {self.num_images_total}"
            )

    def build(self, context: Context) -> LabelSpace:
        """Makes the label space."""
        base = self.base.build(context)
        if self.num_images_per_class:
            return sources.fixed_images_per_class(
                base, context.images, self.num_images_per_class, seed=self.seed
            )
        return sources.fixed_total_images(
            base,
            context.images,
            self.num_images_total,
            seed=self.seed,
            within=context.within(self.aligned),
        )


@dataclasses.dataclass(frozen=True)
class Corrupted:
    """See `sources.corrupted`."""

    base: Source
    share: float
    aligned: bool = True
    seed: int = 0

    def build(self, context: Context) -> LabelSpace:
        """Makes the label space."""
        return sources.corrupted(
            self.base.build(context),
            context.images,
            self.share,
            seed=self.seed,
            within=context.within(self.aligned),
        )


@dataclasses.dataclass(frozen=True)
class File:
    """A label space saved before; it must belong to this dataset."""

    path: str

    def build(self, context: Context) -> LabelSpace:
        """Loads the label space and checks what it belongs to."""
        space = LabelSpace.load(self.path)
        context.images.check(space)
        return space


Source = Level | Cut | Mixed | Random | Clusters | PerImage | SizeMatched | Corrupted | File

_KINDS: Mapping[str, type] = {
    "level": Level,
    "cut": Cut,
    "mixed": Mixed,
    "random": Random,
    "clusters": Clusters,
    "per_image": PerImage,
    "size_matched": SizeMatched,
    "corrupted": Corrupted,
    "file": File,
}


def kinds() -> tuple[str, ...]:
    """The kinds that `from_mapping` knows."""
    return tuple(_KINDS)


def from_mapping(content: Mapping[str, Any]) -> Source:
    """Makes a record from a mapping: its `kind`, and the record's own fields.

    Nested spaces (`base`, `like`) are mappings of the same form. Keys whose value is None or an
    empty mapping count as absent.

    Raises:
      LabelSpaceError: on an unknown kind or key (naming the nearest), a missing key, or values
        that contradict each other.
    """
    given = {key: value for key, value in dict(content).items() if not _is_absent(value)}
    kind = given.pop("kind", "")
    if kind not in _KINDS:
        raise LabelSpaceError(f"unknown kind of label space {kind!r}{_nearest(kind, _KINDS)}")
    record = _KINDS[kind]
    fields = {field.name: field for field in dataclasses.fields(record)}
    for key in given:
        if key not in fields:
            raise LabelSpaceError(f"unknown key {key!r} of a {kind} space{_nearest(key, fields)}")
    missing = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and name not in given
    ]
    if missing:
        raise LabelSpaceError(f"a {kind} space needs {missing}")
    return record(**{key: _value(value) for key, value in given.items()})


def to_mapping(source: Source) -> dict[str, Any]:
    """What `from_mapping` makes the same record from; JSON-able."""
    kind = next(kind for kind, record in _KINDS.items() if type(source) is record)
    content: dict[str, Any] = {"kind": kind}
    for field in dataclasses.fields(source):
        value = getattr(source, field.name)
        if dataclasses.is_dataclass(value):
            value = to_mapping(value)
        if value is not None:
            content[field.name] = list(value) if isinstance(value, tuple) else value
    return content


def _is_absent(value: Any) -> bool:
    return value is None or (hasattr(value, "keys") and not len(value))


def _value(value: Any) -> Any:
    if hasattr(value, "keys"):
        return from_mapping(value)
    return tuple(value) if isinstance(value, list) else value


def _nearest(name: str, names: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} There are: {', '.join(names)}"
