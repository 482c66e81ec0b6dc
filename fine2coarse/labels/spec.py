"""Label spaces as a configuration names them: one small record for each way to make one.

A recipe says `{"source": "cut", "options": {"num_classes": 23}}`; `schema.parse(LabelSource, …)`
makes a record of that, and the record makes a label space of a `Context`. Records whose classes
must not straddle the target's say `aligned=True`: the target is the context's. A `seed` of None is
the context's, so that every run of a study draws its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated

from fine2coarse import schema
from fine2coarse.labels import sources
from fine2coarse.labels.clusters import Centroids
from fine2coarse.labels.embeddings import Embeddings
from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.kmeans import KMeansSpec
from fine2coarse.labels.space import LabelSpace, LabelSpaceError
from fine2coarse.labels.tree import check_rule
from fine2coarse.taxonomy.taxonomy import Taxonomy


@dataclasses.dataclass(frozen=True, eq=False)
class Context:
    """What label spaces are made for.

    Attributes:
      taxonomy: of the dataset.
      images: of the dataset.
      target: the coarse task, which aligned spaces stay within; None where there is none.
      seed: of draws whose record names none.
    """

    taxonomy: Taxonomy
    images: ImageIndex
    target: LabelSpace | None = None
    seed: int = 0

    def seed_of(self, record: Random | Clusters | SizeMatched | Corrupted) -> int:
        """The record's seed, or this context's where it names none."""
        return self.seed if record.seed is None else record.seed

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


def _check_counts(record: LabelSource, *names: str) -> None:
    """Raises LabelSpaceError on a negative number; 0 is not given."""
    for name in names:
        if getattr(record, name) < 0:
            raise LabelSpaceError(f"{name} must not be negative, got {getattr(record, name)}")


@dataclasses.dataclass(frozen=True)
class Level:
    """A level of the taxonomy: see `sources.level`.

    Attributes:
      level: its name, as `fine2coarse levels` lists it: also `hops:K` and `depth:K`.
      rule: one class where the taxonomy gives a leaf several: 'first' (the parent named first, all
        the way up) or 'deepest' (of the level's classes the one farthest from the root); empty to
        keep all of them.
    """

    level: str
    rule: str = ""

    def __post_init__(self) -> None:
        """Checks the rule."""
        if self.rule:
            check_rule(self.rule)

    def build(self, context: Context) -> LabelSpace:
        """Makes the label space."""
        return sources.level(context.taxonomy, self.level, self.rule)


@dataclasses.dataclass(frozen=True)
class Cut:
    """Nodes of the taxonomy, none above another: see `sources.cut`, `sources.chosen_nodes`.

    Attributes:
      num_classes: number of nodes, chosen so that their training images are as even as can be.
      nodes: ids of your own nodes instead of a number.
      drop_uncovered: leave out leaves that no node covers; else these are an error.
    """

    num_classes: int = 0
    nodes: tuple[str, ...] = ()
    drop_uncovered: bool = False

    def __post_init__(self) -> None:
        """Checks that the number or the list is given, not both."""
        _check_counts(self, "num_classes")
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
    """Leaves with enough images, smaller ones lifted to a parent: see `sources.mixed`.

    Attributes:
      min_images: training images that a class needs.
      rule: the parent of a leaf that has several: 'first' or 'deepest'.
      drop_uncovered: leave out leaves that reach a root with too few images, instead of giving
        them the nearest class above.
    """

    min_images: int
    rule: str = "first"
    drop_uncovered: bool = False

    def __post_init__(self) -> None:
        """Checks the number and the rule."""
        if self.min_images < 1:
            raise LabelSpaceError(f"min_images must be at least 1, got {self.min_images}")
        check_rule(self.rule)

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
    """Random ids, a control: see `sources.random_ids`, `sources.random_like`.

    Attributes:
      num_classes: number of ids, of even size.
      as_many_as_level: as many ids as this level of the taxonomy has classes.
      like: a label space whose class sizes are kept and whose labels are shuffled.
      aligned: whether ids stay within the target's classes.
      seed: of the random draw; the run's own where it is left out.
    """

    num_classes: int = 0
    as_many_as_level: str = ""
    like: LabelSource | None = None
    aligned: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        """Checks that one of the three ways to say how many is chosen."""
        _check_counts(self, "num_classes")
        if sum(map(bool, (self.num_classes, self.as_many_as_level, self.like))) != 1:
            raise LabelSpaceError(
                "random ids need one of num_classes, as_many_as_level and like, the others 0, '' "
                f"and None; got {self.num_classes}, {self.as_many_as_level!r} and {self.like}"
            )

    def build(self, context: Context) -> LabelSpace:
        """Makes the label space."""
        within, seed = context.within(self.aligned), context.seed_of(self)
        if self.like is not None:
            like = self.like.build(context)
            return sources.random_like(context.images, like, within=within, seed=seed)
        num_classes = self.num_classes
        if self.as_many_as_level:
            num_classes = sources.level(context.taxonomy, self.as_many_as_level).num_classes
        return sources.random_ids(context.images, num_classes, within=within, seed=seed)


@dataclasses.dataclass(frozen=True)
class Clusters:
    """k-means clusters of embeddings: see `sources.clusters`, `sources.assigned`.

    Attributes:
      num_clusters: number of clusters.
      embeddings: the .npy that `fine2coarse embed` wrote, or your own; needed.
      ids: file of your own embeddings' image ids, one a line.
      aligned: whether clusters stay within the target's classes.
      centroids: FILE.centroids.npz of earlier clusters, to label these images by, instead of a
        number.
      spherical: whether to compare by cosine.
      num_iterations: Lloyd's iterations of each start.
      num_restarts: starts, of which the one with the least inertia is kept.
      max_rows_per_cluster: where there are more training rows than this a cluster, so many are
        drawn to cluster; all are labelled.
      seeding: 'afk_mc2', 'kmeans_plus_plus' or 'random'.
      seed: of the k-means starts; the run's own where it is left out.
    """

    num_clusters: int = 0
    embeddings: str = schema.path("")
    ids: str = schema.path("")
    aligned: bool = True
    centroids: str = schema.path("")
    spherical: bool = False
    num_iterations: int = KMeansSpec.num_iterations
    num_restarts: int = KMeansSpec.num_restarts
    max_rows_per_cluster: int = KMeansSpec.max_rows_per_cluster
    seeding: str = KMeansSpec.seeding
    seed: int | None = None

    def __post_init__(self) -> None:
        """Checks that embeddings are named, the number or the centroids, and how to cluster."""
        _check_counts(self, "num_clusters")
        if not self.embeddings:
            raise LabelSpaceError(
                "clusters need embeddings: a .npy written by `fine2coarse embed` (or one of your "
                "own, with `ids`)"
            )
        if bool(self.num_clusters) == bool(self.centroids):
            raise LabelSpaceError(
                f"clusters need num_clusters or a file of centroids, and not both; got "
                f"num_clusters={self.num_clusters} and centroids={self.centroids!r}"
            )
        self.kmeans  # noqa: B018 - checks itself

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
            seed=context.seed_of(self),
        )


@dataclasses.dataclass(frozen=True)
class PerImage:
    """One class for each training image: see `sources.per_image`."""

    def build(self, context: Context) -> LabelSpace:
        """Makes the label space, of the training images alone."""
        images = context.images
        return sources.per_image(images.train_ids, dataset_fingerprint=images.dataset_fingerprint)


@dataclasses.dataclass(frozen=True)
class SizeMatched:
    """A label space with part of its training images, a control for their number.

    See `sources.fixed_images_per_class` and `sources.fixed_total_images`.

    Attributes:
      base: the label space.
      num_images_per_class: training images that each class keeps.
      num_images_total: training images kept in all, the same for every `base`.
      aligned: whether `num_images_total` keeps the target's proportions.
      seed: of the random draw; the run's own where it is left out.
    """

    base: LabelSource
    num_images_per_class: int = 0
    num_images_total: int = 0
    aligned: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        """Checks that one control is chosen."""
        _check_counts(self, "num_images_per_class", "num_images_total")
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
                base, context.images, self.num_images_per_class, seed=context.seed_of(self)
            )
        return sources.fixed_total_images(
            base,
            context.images,
            self.num_images_total,
            seed=context.seed_of(self),
            within=context.within(self.aligned),
        )


@dataclasses.dataclass(frozen=True)
class Corrupted:
    """A label space with noise: see `sources.corrupted`.

    Attributes:
      base: the label space.
      share: of its training labels that move to another class, 0 to 1.
      aligned: whether a label moves within its target class alone.
      seed: of the random draw; the run's own where it is left out.
    """

    base: LabelSource
    share: float
    aligned: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        """Checks the share."""
        if not 0 <= self.share <= 1:
            raise LabelSpaceError(f"share must be from 0 to 1, got {self.share}")

    def build(self, context: Context) -> LabelSpace:
        """Makes the label space."""
        return sources.corrupted(
            self.base.build(context),
            context.images,
            self.share,
            seed=context.seed_of(self),
            within=context.within(self.aligned),
        )


@dataclasses.dataclass(frozen=True)
class File:
    """A label space saved before; it must belong to this dataset.

    Attributes:
      path: the .npz that `fine2coarse label_space` wrote.
    """

    path: str = schema.path()

    def build(self, context: Context) -> LabelSpace:
        """Loads the label space and checks what it belongs to."""
        space = LabelSpace.load(self.path)
        context.images.check(space)
        return space


def sources_within(source: LabelSource, where: str = "") -> Iterator[tuple[str, LabelSource]]:
    """A label source, and those that it starts from, with what an error calls each.

    Args:
      source: the outermost.
      where: what an error calls that.
    """
    yield where, source
    for field in dataclasses.fields(source):
        inner = getattr(source, field.name)
        if type(inner) in SOURCES.values():
            yield from sources_within(inner, f"{where}: {field.name}")


SOURCES = {
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
"""Name in a recipe → its record. A new way to label is a record here."""

LabelSource = Annotated[
    Level | Cut | Mixed | Random | Clusters | PerImage | SizeMatched | Corrupted | File,
    schema.Choice("label source", "source", SOURCES),
]
