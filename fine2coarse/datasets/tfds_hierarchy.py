"""Any TFDS dataset whose labels nest is a hierarchy: name the features, finest first.

`cifar100` has `label` and `coarse_label`, `omniglot` has `label` and `alphabet`. That each fine
class lies in one coarse class is read off the examples, not taken for granted. `imagenet2012`
has one label feature, whose names are synset ids: WordNet is the hierarchy above it. Above the
classes of one feature a taxonomy of the user's own may stand, from a file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from fine2coarse.datasets.prepared import DatasetError, PreparedDataset
from fine2coarse.datasets.reading import undecoded
from fine2coarse.preparation.record_index import SplitIndex
from fine2coarse.taxonomy.match import open_matched
from fine2coarse.taxonomy.taxonomy import Taxonomy, TaxonomyError
from fine2coarse.taxonomy.taxonomy_file import AUTO, read_taxonomy_file
from fine2coarse.taxonomy.wordnet import is_synset_id, read_wordnet

LABEL_FEATURES: Mapping[str, tuple[str, ...]] = {
    "cifar100": ("label", "coarse_label"),
    "omniglot": ("label", "alphabet"),
    "imagenet2012": ("label",),
}
"""The label features of some of TFDS's datasets, finest first."""

_ID_FEATURES = ("image_id", "id", "file_name")


@dataclasses.dataclass(frozen=True, eq=False)
class TfdsHierarchy(PreparedDataset):
    """A prepared TFDS dataset of another's making, read as if it were one of ours.

    Attributes:
      builder: the prepared TFDS builder.
      taxonomy: its leaves are the classes of the finest label feature, in order.
      label_features: finest first.
      id_feature: the feature that is unique among a split's images; where empty, images are
        named by their split and position.
    """

    label_features: tuple[str, ...] = ("label",)
    id_feature: str = ""

    def __post_init__(self) -> None:
        """Checks that there is data."""
        if not self.splits:
            raise DatasetError(f"{self.name}: nothing is prepared in {self.builder.data_dir}")

    def read(self, split: str) -> tf.data.Dataset:
        """Undecoded examples in stored order: image bytes, image_id, label.

        Raises:
          DatasetError: on an unknown split.
        """
        found = None
        for name, rows in self._parts(split):
            part = self._read_whole(name).skip(rows.start).take(rows.stop - rows.start)
            found = part if found is None else found.concatenate(part)
        return found

    def _read_whole(self, split: str) -> tf.data.Dataset:
        return (
            undecoded(self.builder, split)
            .enumerate()
            .map(
                lambda index, example: {
                    "image": example["image"],
                    "image_id": self._image_id(split, index, example),
                    "label": tf.cast(example[self.label_features[0]], tf.int64),
                }
            )
        )

    def _image_id(self, split: str, index: tf.Tensor, example: Mapping) -> tf.Tensor:
        if not self.id_feature:
            return tf.strings.join([split, "-", tf.strings.as_string(index, width=8, fill="0")])
        value = example[self.id_feature]
        return value if value.dtype == tf.string else tf.strings.as_string(value)

    def index(self, split: str) -> SplitIndex:
        """Ids and labels of a split."""
        return dataclasses.replace(super().index(split), hard=None)


def open_hierarchy(
    builder: tfds.core.DatasetBuilder,
    label_features: Sequence[str] | None = None,
    taxonomy_file: str = "",
    taxonomy_format: str = AUTO,
) -> TfdsHierarchy:
    """Reads the hierarchy off a prepared TFDS dataset.

    Args:
      builder: prepared.
      label_features: names of its `ClassLabel` features, finest first; those of
        `LABEL_FEATURES` where None.
      taxonomy_file: of what stands above the classes of one feature: see `taxonomy_of_file`.
      taxonomy_format: see `taxonomy_of_file`.

    Raises:
      DatasetError: where a feature is missing or no class label, or there is no data.
      TaxonomyError: where the labels do not nest, a fine class has no image to show its parent
        by, or the file is no taxonomy of the classes.
      OSError: where the file cannot be read.
    """
    if taxonomy_file:
        features = (one_label_feature(builder, label_features),)
    else:
        features = tuple(label_features or LABEL_FEATURES.get(builder.name, ()))
        _check_features(builder, features)
    if not builder.info.splits:
        raise DatasetError(f"{builder.name}: nothing is prepared in {builder.data_dir}")
    names = [builder.info.features[feature].names for feature in features]
    if taxonomy_file:
        taxonomy = taxonomy_of_file(builder.name, names[0], taxonomy_file, taxonomy_format)
    elif len(features) == 1:
        taxonomy = _synset_taxonomy(builder, features[0])
    else:
        taxonomy = nested_taxonomy(features, names, _seen_labels(builder, features), builder.name)
    id_feature = next((name for name in _ID_FEATURES if name in builder.info.features), "")
    return TfdsHierarchy(builder, taxonomy, features, id_feature)


def one_label_feature(
    builder: tfds.core.DatasetBuilder, label_features: Sequence[str] | None
) -> str:
    """The label feature whose classes a taxonomy from a file stands above.

    Args:
      builder: prepared or not.
      label_features: its name alone; where None, the finest of `LABEL_FEATURES`, or the only one.

    Raises:
      DatasetError: where there are several to choose from, or it is no class label.
    """
    labels = _class_labels(builder)
    features = tuple(label_features or LABEL_FEATURES.get(builder.name, ())[:1] or labels)
    if len(features) != 1:
        raise DatasetError(
            f"{builder.name}: `taxonomy` says what stands above the classes of one label feature; "
            f"got {list(features)}: name one in `label_features`, of {labels}"
        )
    _check_features(builder, features)
    return features[0]


def taxonomy_of_file(
    name: str, classes: Sequence[str], path: str, taxonomy_format: str = AUTO
) -> Taxonomy:
    """The taxonomy of a file, whose leaves are a dataset's classes.

    Args:
      name: of the dataset, for errors.
      classes: its classes' names, which the file has as ids or names.
      path: of the file: see `taxonomy_file.read_taxonomy_file`.
      taxonomy_format: see there.

    Raises:
      TaxonomyError: where the file is no taxonomy, or lacks classes.
      OSError: where it cannot be read.
    """
    return open_matched(path, classes, taxonomy_format=taxonomy_format, dataset=name)


def check_taxonomy_file(
    name: str, feature: tfds.features.ClassLabel, path: str, taxonomy_format: str = AUTO
) -> None:
    """Raises what `taxonomy_of_file` does, as far as it is known of data not prepared yet.

    Some datasets learn their classes' names only from what they download.
    """
    names = feature.names if feature.num_classes else []
    if names == [str(label) for label in range(len(names))]:
        read_taxonomy_file(path, taxonomy_format)
    else:
        taxonomy_of_file(name, names, path, taxonomy_format)


def _class_labels(builder: tfds.core.DatasetBuilder) -> list[str]:
    return [
        name
        for name, feature in builder.info.features.items()
        if isinstance(feature, tfds.features.ClassLabel)
    ]


def _check_features(builder: tfds.core.DatasetBuilder, features: tuple[str, ...]) -> None:
    labels = _class_labels(builder)
    if not features:
        raise DatasetError(
            f"{builder.name}: name its label features, finest first; it has {labels}"
        )
    wrong = [name for name in features if name not in labels]
    if wrong or len(set(features)) != len(features):
        raise DatasetError(
            f"{builder.name}: {wrong or list(features)} are not distinct class labels; it has "
            f"{labels}"
        )
    if "image" not in builder.info.features:
        raise DatasetError(f"{builder.name}: no feature 'image'")


def _synset_taxonomy(builder: tfds.core.DatasetBuilder, feature: str) -> Taxonomy:
    names = builder.info.features[feature].names
    if not all(map(is_synset_id, names)):
        raise DatasetError(
            f"{builder.name}: one label feature makes a hierarchy only where its classes are "
            f"named by synset ids; {feature!r} has {names[:3]}. Name two features or more, or a "
            "file of what stands above the classes as `taxonomy`"
        )
    return read_wordnet(names)


def _seen_labels(builder: tfds.core.DatasetBuilder, features: Sequence[str]) -> np.ndarray:
    """Distinct rows of labels over all splits: int64 [num_rows, num_features]."""
    seen: set[tuple[int, ...]] = set()
    for split in builder.info.splits:
        examples = undecoded(builder, split, *features).map(
            lambda example: tuple(tf.cast(example[name], tf.int64) for name in features)
        )
        for rows in examples.batch(4096).as_numpy_iterator():
            seen |= set(zip(*(column.tolist() for column in rows)))
    return np.asarray(sorted(seen), np.int64).reshape(-1, len(features))


def nested_taxonomy(
    levels: Sequence[str],
    names: Sequence[Sequence[str]],
    rows: np.ndarray,
    where: str,
) -> Taxonomy:
    """The tree that rows of labels show, after checking that they nest.

    Args:
      levels: names of the levels, finest first.
      names: class names of each level.
      rows: int [num_rows, num_levels], the labels that examples have together.
      where: what an error calls the dataset.

    Raises:
      TaxonomyError: naming a class that lies in two classes of the next level, or in none.
    """
    parents: dict[str, tuple[str, ...]] = {}
    shown: dict[str, str] = {}
    ranks: dict[str, str] = {}

    def node(level: int, label: int) -> str:
        return f"{levels[level]}:{names[level][label]}"

    for level in range(len(levels)):
        for label, name in enumerate(names[level]):
            shown[node(level, label)], ranks[node(level, label)] = name, levels[level]
        if level + 1 == len(levels):
            continue
        above: dict[int, set[int]] = {}
        for fine, coarse in np.unique(rows[:, level : level + 2], axis=0).tolist():
            above.setdefault(fine, set()).add(coarse)
        for label in range(len(names[level])):
            found = sorted(above.get(label, ()))
            if len(found) != 1:
                known = [names[level + 1][coarse] for coarse in found] or "no class, for no image"
                raise TaxonomyError(
                    f"{where}: {levels[level]} {names[level][label]!r} lies in {known} of "
                    f"{levels[level + 1]}; labels that nest have exactly one"
                )
            parents[node(level, label)] = (node(level + 1, found[0]),)
    for label in range(len(names[-1])):
        parents.setdefault(node(len(levels) - 1, label), ())
    leaves = [node(0, label) for label in range(len(names[0]))]
    return Taxonomy.from_parents(parents, leaves, names=shown, ranks=ranks, levels=levels)
