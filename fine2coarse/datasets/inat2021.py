"""iNaturalist 2021 as a TFDS dataset whose configs are the ranks of its taxonomy."""

from __future__ import annotations

import inspect
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds

from fine2coarse.datasets.archives import SourceError
from fine2coarse.datasets.inat2021_sources import (
    Inat2021Source,
    SplitFiles,
    read_annotations,
)
from fine2coarse.datasets.leveled import LevelConfig, LeveledBuilder, PrepareConfig
from fine2coarse.datasets.units import Source
from fine2coarse.taxonomy.inat2021 import LEVELS
from fine2coarse.taxonomy.taxonomy import Taxonomy

URL = "https://ml-inat-competition-datasets.s3.amazonaws.com/2021/"
"""Where the archives are; their sizes and SHA-256 are in `checksums.tsv` beside this file."""
ARCHIVES: Mapping[str, str] = {"train": "train", "mini": "train_mini", "val": "val"}
"""Split → the archives' name, to which .tar.gz and .json.tar.gz are added."""
NUM_IMAGES: Mapping[str, int] = {"train": 2_686_843, "mini": 500_000, "val": 100_000}
"""Images of each split: https://github.com/visipedia/inat_comp/tree/master/2021 (Details)."""

_CITATION = """\
@misc{inaturalist21,
  title={{iNaturalist} 2021 competition dataset},
  howpublished={\\url{https://github.com/visipedia/inat_comp/tree/master/2021}},
  year={2021}
}
"""


class Inat2021(LeveledBuilder):
    """iNaturalist 2021: photographs of 10,000 species, labelled at any of eight levels.

    Configs are the levels, finest first: species, genus, family, order, class, phylum,
    supercategory, kingdom. Splits are `train`, `mini` (50 of each species, all of them in `train`
    too) and `val`. Features are the image (JPEG bytes as they came), the competition's number of
    it as text, its file name and its label. Genera that share a name are kept apart.
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        LevelConfig(
            name=level, level=level, stored_as=LEVELS[0], description=f"Labelled by {level}."
        )
        for level in LEVELS
    ]
    DEFAULT_BUILDER_CONFIG_NAME = LEVELS[0]

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=inspect.cleandoc(type(self).__doc__),
            features=self._features(),
            supervised_keys=("image", "label"),
            homepage="https://github.com/visipedia/inat_comp/tree/master/2021",
            citation=_CITATION,
            metadata=tfds.core.MetadataDict(),
        )

    def _extra_features(self) -> Mapping[str, Any]:
        return {"file_name": tfds.features.Text()}

    def _known_taxonomy(self) -> Taxonomy | None:
        return None  # it comes with the annotations

    def _find_source(
        self, dl_manager: tfds.download.DownloadManager, config: PrepareConfig
    ) -> tuple[Source, Taxonomy]:
        names = _checked_splits(config.splits)
        paths = {split: _manual_files(config.manual_dir, ARCHIVES[split]) for split in names}
        urls = {
            f"{split}/{part}": f"{URL}{ARCHIVES[split]}{suffix}"
            for split in names
            for part, suffix in (("images", ".tar.gz"), ("annotations", ".json.tar.gz"))
            if part not in paths[split]
        }
        downloaded = dl_manager.download(urls) if urls else {}
        for key, path in downloaded.items():
            split, part = key.split("/")
            paths[split][part] = pathlib.Path(path)
        source = Inat2021Source(
            [
                SplitFiles(split, found["images"], read_annotations(found["annotations"]))
                for split, found in paths.items()
            ]
        )
        return source, source.taxonomy()

    def _split_rule(self, source: Source, config: PrepareConfig) -> None:
        return None  # each archive is a split


def _checked_splits(asked: tuple[str, ...] | None) -> list[str]:
    unknown = [split for split in asked or () if split not in ARCHIVES]
    if unknown:
        raise ValueError(f"inat2021 has no splits {unknown}; it has {list(ARCHIVES)}")
    return [split for split in ARCHIVES if asked is None or split in asked]


def _manual_files(manual_dir: Any, name: str) -> dict[str, pathlib.Path]:
    """The images and annotations of an archive's name that the user has already.

    Images may be NAME.tar.gz, NAME.tar or a folder NAME; annotations NAME.json.tar.gz or
    NAME.json.
    """
    if manual_dir is None:
        return {}
    folder = pathlib.Path(manual_dir)
    if not folder.is_dir():
        raise SourceError(f"no folder {folder}; leave manual_dir out to download the archives")
    found: dict[str, pathlib.Path] = {}
    for part, suffixes in (
        ("images", (".tar.gz", ".tar")),
        ("annotations", (".json", ".json.tar.gz")),
    ):
        for suffix in suffixes:
            if (folder / f"{name}{suffix}").is_file():
                found.setdefault(part, folder / f"{name}{suffix}")
    if "images" not in found and (folder / name).is_dir():
        found["images"] = folder  # the annotations' file names begin with the archive's name
    return found
