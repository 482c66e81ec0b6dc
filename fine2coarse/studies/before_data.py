"""What can be known to be missing before any data is prepared, which may take hours."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fine2coarse.archives.archives import SourceError
from fine2coarse.datasets.folder_layout import MISSING_SPLIT_HINT
from fine2coarse.datasets.folder_survey import taxonomy_of_folder
from fine2coarse.datasets.label_levels import levels_of_labels
from fine2coarse.datasets.shard_files import splits_of_shards
from fine2coarse.errors import UsageError
from fine2coarse.labels.embeddings import ids_file_of
from fine2coarse.labels.spec import Clusters, File, LabelSource, Level, Random, sources_within
from fine2coarse.nearest import unknown
from fine2coarse.recipes.label_card import LabelCard, LabelledDataset
from fine2coarse.recipes.recipe import DatasetSpec, Recipe
from fine2coarse.studies.run_plan import Run
from fine2coarse.taxonomy import level_names
from fine2coarse.taxonomy.inat2021 import LEVELS
from fine2coarse.taxonomy.taxonomy import Taxonomy, TaxonomyError
from fine2coarse.taxonomy.taxonomy_file import AUTO, read_taxonomy_file
from fine2coarse.taxonomy.wordnet import NUM_LEVELS

_EMBED = (
    "`fine2coarse embed --config=CARD --run=RUN --out={path}` makes it, RUN being the folder of a "
    "finished run, as of `fine2coarse pretrain --config=CARD --arm=target --workdir=RUN`"
)
_LABEL = "`fine2coarse label_space --config=labels:SOURCE --dataset=NAME --out={path}` makes it"
_CENTROIDS = (
    "`fine2coarse label_space --config=labels:clusters --dataset=NAME --out=FILE.npz` writes one "
    "beside FILE.npz"
)


def check_recipe(recipe: Recipe, runs: Sequence[Run] | None = None) -> None:
    """Checks the files and levels that a study's target and arms name, and splits of shards.

    Args:
      recipe: of the study.
      runs: those whose label spaces are wanted; all of them where None.

    Raises:
      UsageError: naming the target, arm or split, what is missing and what makes it.
    """
    for place, spec in (("dataset", recipe.dataset), ("transfer_dataset", recipe.transfer_dataset)):
        if spec is not None:
            _check_splits(spec, place, is_tested_on=recipe.evaluation is None)
    levels = _levels_of(recipe.dataset)  # read once: an archive may be large
    task = recipe.transfer_dataset
    check_label_sources(recipe, runs, levels, _levels_of(task) if task else levels)


def check_label_sources(
    recipe: Recipe, runs: Sequence[Run] | None, levels: KnownLevels, task_levels: KnownLevels
) -> None:
    """Checks the files and levels that a study's target and arms name.

    Args:
      recipe: of the study.
      runs: those whose label spaces are wanted; all of them where None.
      levels: of the dataset to pretrain on.
      task_levels: of the dataset of the coarse task.

    Raises:
      UsageError: naming the target or arm, what is missing and what makes it.
    """
    _check_source(recipe.target, "target", task_levels)
    arms = recipe.arms if runs is None else {run.arm: None for run in runs}
    for arm in arms:
        if arm in recipe.arms:
            _check_source(recipe.arms[arm].label, f"arm {arm!r}", levels)


def _check_splits(spec: DatasetSpec, place: str, *, is_tested_on: bool) -> None:
    """Raises UsageError where the names of shards say that a split is missing."""
    known = splits_of_shards(spec.name, spec.options)
    for field in ("train_split", *(["eval_split"] if is_tested_on else [])):
        split = getattr(spec, field).partition("[")[0]
        if known and split not in known and "+" not in split:
            raise UsageError(
                f"config.{place}.{field}={split}: the names of the shards say no such split, but "
                f"{', '.join(known)}{MISSING_SPLIT_HINT}"
            )


def check_card(card: LabelCard) -> None:
    """Checks the same of a label space's card.

    Raises:
      UsageError: as `check_recipe`.
    """
    levels = _levels_of(card.dataset)
    for name, source in (("label", card.label), ("target", card.target)):
        if source is not None:
            _check_source(source, name, levels)


def _known_taxonomy(name: str, options: Mapping[str, Any]) -> Taxonomy | None:
    """The taxonomy of a dataset whose own file says it, or its name."""
    try:
        if name == "demo":
            from fine2coarse.datasets.demo import DemoConfig  # imports TFDS

            return DemoConfig(name="demo").taxonomy()
        if name == "folder" and options.get("source") and not options.get("flat"):
            return taxonomy_of_folder(pathlib.Path(options["source"]))
        if options.get("taxonomy") not in (None, "", "wordnet"):
            taxonomy_format = options.get("taxonomy_format") or AUTO
            return read_taxonomy_file(options["taxonomy"], taxonomy_format)
    except (SourceError, TaxonomyError, OSError):
        pass  # told when it is prepared, or not needed where it is prepared already
    return None


@dataclasses.dataclass(frozen=True)
class KnownLevels:
    """What is known of a dataset before its data is there.

    Attributes:
      dataset: its name.
      levels: those that its taxonomy names; empty where they are not known.
      taxonomy: or None, as of a dataset whose archives decide.
    """

    dataset: str
    levels: tuple[str, ...]
    taxonomy: Taxonomy | None

    def check(self, level: str, place: str) -> None:
        """Raises UsageError where the taxonomy has no such level, as far as that is known."""
        if not self.levels or level in self.levels:
            return
        if level_names.counted(level):
            if self.taxonomy:
                try:
                    self.taxonomy.check_level(level)
                except TaxonomyError as error:
                    raise UsageError(f"{place}: {self.dataset}: {error}") from error
            return
        has = unknown("level", level, (*self.levels, "hops:K", "depth:K"))
        raise UsageError(f"{place}: {self.dataset}: {has}")


def known_levels(name: str, options: Mapping[str, Any]) -> KnownLevels:
    """What is known of a dataset's levels without its data; a file that says them is read once.

    Args:
      name: of the dataset.
      options: what it is given.
    """
    taxonomy = _known_taxonomy(name, options)
    if taxonomy:
        levels = taxonomy.levels
    elif name == "imagenet21k":
        levels = tuple(str(hops) for hops in range(NUM_LEVELS))
    elif name == "inat2021":
        levels = LEVELS
    else:
        levels = levels_of_labels(options) if name in ("parquet", "webdataset") else ()
    return KnownLevels(name, levels, taxonomy)


def _levels_of(dataset: DatasetSpec | LabelledDataset) -> KnownLevels:
    return known_levels(dataset.name, dataset.options)


def _check_source(source: LabelSource, where: str, known: KnownLevels) -> None:
    for place, record in sources_within(source, where):
        for level in _own_levels(record):
            known.check(level, place)
        for field, path, remedy in _files_of(record):
            if not pathlib.Path(path).is_file():
                raise UsageError(_told_missing(place, field, path, remedy))


def levels_named(source: LabelSource) -> list[str]:
    """Levels that a label source and those it starts from name."""
    return [level for _, record in sources_within(source) for level in _own_levels(record)]


def _own_levels(record: LabelSource) -> list[str]:
    if isinstance(record, Level):
        return [record.level]
    is_by_level = isinstance(record, Random) and record.as_many_as_level
    return [record.as_many_as_level] if is_by_level else []


def _files_of(record: LabelSource) -> Iterator[tuple[str, str, str]]:
    """Field, file and remedy of each file that a label source reads."""
    if isinstance(record, File):
        yield "path", record.path, _LABEL
    if isinstance(record, Clusters):
        yield "embeddings", record.embeddings, _EMBED
        if record.ids:
            yield "ids", record.ids, "it holds the embeddings' image ids, one a line"
        else:
            ids = os.fspath(ids_file_of(pathlib.Path(record.embeddings)))
            yield "ids", ids, "`fine2coarse embed` writes it; of your own embeddings, name it"
        if record.centroids:
            yield "centroids", record.centroids, _CENTROIDS


def _told_missing(place: str, field: str, path: str, remedy: str) -> str:
    relative = "" if pathlib.Path(path).is_absolute() else f" in {pathlib.Path.cwd()}"
    return f"{place}: {field}={path}: there is no such file{relative}; {remedy.format(path=path)}"
