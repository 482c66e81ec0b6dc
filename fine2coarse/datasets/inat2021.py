"""iNaturalist 2021 as a TFDS dataset whose configs are the ranks of its taxonomy."""

from __future__ import annotations

import inspect
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds

from fine2coarse.archives.archives import open_archive
from fine2coarse.datasets.inat2021_files import find_manual_files
from fine2coarse.datasets.inat2021_sources import (
    Inat2021Source,
    SplitFiles,
    annotations_digest,
    read_annotations,
)
from fine2coarse.datasets.leveled import (
    LevelConfig,
    LeveledBuilder,
    PreparationRefused,
    PrepareConfig,
)
from fine2coarse.errors import UsageError
from fine2coarse.preparation.file_batches import Source
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

    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {"2.0.0": "Images upright, without loss where the source has none."}
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
        paths = {split: dict[str, pathlib.Path]() for split in names}
        if config.manual_dir is not None:
            paths = find_manual_files(
                pathlib.Path(config.manual_dir), {split: ARCHIVES[split] for split in names}
            )
        have = {split: _read_what_is_there(found) for split, found in paths.items()}
        urls = {
            f"{split}/{part}": f"{URL}{ARCHIVES[split]}{suffix}"
            for split in names
            for part, suffix in (("images", ".tar.gz"), ("annotations", ".json.tar.gz"))
            if part not in paths[split]
        }
        downloaded = dl_manager.download(urls) if urls else {}
        for key, path in downloaded.items():
            split, part = key.split("/")
            have[split] |= _read_what_is_there({part: pathlib.Path(path)})
        source = Inat2021Source([SplitFiles(split, **have[split]) for split in names])
        return source, source.taxonomy()

    def _check_prepared(self, config: PrepareConfig) -> None:
        missing = [split for split in config.splits or () if split not in self.info.splits]
        if missing:
            raise PreparationRefused(
                f"{self.data_dir} is prepared with the splits {sorted(self.info.splits)}, without "
                f"{missing}; give another data_dir, or delete that folder, and name all splits "
                "that you want in one command"
            )

    def _identity_now(self, config: PrepareConfig, before: Mapping[str, Any]) -> Mapping[str, Any]:
        splits = {name: dict(told) for name, told in before["splits"].items()}
        names = {name: ARCHIVES[name] for name in splits}
        found = find_manual_files(pathlib.Path(config.manual_dir), names)
        for name, paths in found.items():
            if "annotations" in paths:
                splits[name]["annotations"] = annotations_digest(paths["annotations"])
            if "images" in paths and paths["images"].is_file():
                splits[name]["images"] = open_archive(paths["images"]).identity()
            elif paths.keys() == {"images", "annotations"}:  # a folder, of the files listed
                images = SplitFiles(name, **_read_what_is_there(paths))
                splits[name]["images"] = images.identity()
        return {**before, "splits": splits}

    def _split_rule(self, source: Source, config: PrepareConfig) -> None:
        return None  # each archive is a split


def _checked_splits(asked: tuple[str, ...] | None) -> list[str]:
    unknown = [split for split in asked or () if split not in ARCHIVES]
    if unknown:
        raise UsageError(f"inat2021 has no splits {unknown}; it has {list(ARCHIVES)}")
    return [split for split in ARCHIVES if asked is None or split in asked]


def _read_what_is_there(found: Mapping[str, pathlib.Path]) -> dict[str, Any]:
    """A split's fields of `SplitFiles`, read now so that errors come before a download."""
    have: dict[str, Any] = {}
    if "images" in found:
        path = found["images"]
        have["source"] = path if path.is_dir() else open_archive(path)
    if "annotations" in found:
        have["annotations"] = read_annotations(found["annotations"])
    return have
