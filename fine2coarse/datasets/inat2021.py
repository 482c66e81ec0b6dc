"""iNaturalist 2021 as a TFDS dataset whose configs are the ranks of its taxonomy."""

from __future__ import annotations

import base64
import inspect
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds
from etils import epath

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
    PreparationError,
    PreparationRefused,
    PrepareConfig,
)
from fine2coarse.errors import UsageError
from fine2coarse.formats import disk_size
from fine2coarse.preparation.engine import COPIES_OF_SOURCE, disk_free
from fine2coarse.preparation.file_batches import Source
from fine2coarse.taxonomy.inat2021 import LEVELS
from fine2coarse.taxonomy.taxonomy import Taxonomy

URL = "https://ml-inat-competition-datasets.s3.amazonaws.com/2021/"
"""Where the archives are; their sizes and SHA-256 are in `checksums.tsv` beside this file."""
ARCHIVES: Mapping[str, str] = {"train": "train", "mini": "train_mini", "val": "val"}
"""Split → the archives' name, to which .tar.gz and .json.tar.gz are added."""
NUM_IMAGES: Mapping[str, int] = {"train": 2_686_843, "mini": 500_000, "val": 100_000}
"""Images of each split: https://github.com/visipedia/inat_comp/tree/master/2021 (Details)."""
_SUFFIXES = {"images": ".tar.gz", "annotations": ".json.tar.gz"}
_log = logging.getLogger(__name__)

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
            for part, suffix in _SUFFIXES.items()
            if part not in paths[split]
        }
        if urls:
            self._check_download(urls, dl_manager.download_dir, config.check_disk_space)
        downloaded = dl_manager.download(urls) if urls else {}
        for key, path in downloaded.items():
            split, part = key.split("/")
            have[split] |= _read_what_is_there({part: pathlib.Path(path)})
        source = Inat2021Source([SplitFiles(split, **have[split]) for split in names])
        return source, source.taxonomy()

    def _check_download(
        self, urls: Mapping[str, str], folder: epath.Path, is_checked: bool
    ) -> None:
        """Says what is downloaded, before the first byte.

        Args:
          urls: split/part → address.
          folder: of downloads, which may hold some of them.
          is_checked: whether to refuse where the disk looks too small.

        Raises:
          PreparationError: where the disk cannot hold what is downloaded and prepared of it.
        """
        sizes = {
            key: 0 if _is_downloaded(self.url_infos[url].checksum, folder) else num_bytes
            for key, url in urls.items()
            for num_bytes in [self.url_infos[url].size]
        }
        whole = sum(self.url_infos[url].size for url in urls.values())
        needed = sum(sizes.values()) + COPIES_OF_SOURCE * whole
        free = _free_above(folder)
        told = (
            f"inat2021: {disk_size(sum(sizes.values()))} to download into {folder} "
            f"({_by_split(sizes)}); with preparing about {disk_size(needed)} are needed there, "
            f"{disk_size(free)} are free"
        )
        if is_checked and free is not None and needed > free:
            raise PreparationError(
                f"{told}. Make space, give another --data_dir, name fewer splits (of "
                f"{', '.join(ARCHIVES)}), or give archives that you have by manual_dir"
            )
        _log.info("%s", told)

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


def download_sizes(splits: Sequence[str] | None = None) -> dict[str, int]:
    """Bytes to download for each split, images and annotations.

    Args:
      splits: which; all where None.

    Raises:
      UsageError: on an unknown split.
    """
    sizes = {url: info.size for url, info in Inat2021.url_infos.items()}
    return {
        split: sum(sizes[f"{URL}{ARCHIVES[split]}{suffix}"] for suffix in _SUFFIXES.values())
        for split in _checked_splits(None if splits is None else tuple(splits))
    }


def _by_split(sizes: Mapping[str, int]) -> str:
    """For example `train 240.1 GB, val 8.9 GB`, of sizes by split/part."""
    totals: dict[str, int] = {}
    for key, num_bytes in sizes.items():
        split = key.partition("/")[0]
        totals[split] = totals.get(split, 0) + num_bytes
    return ", ".join(f"{split} {disk_size(num_bytes)}" for split, num_bytes in totals.items())


def _free_above(folder: epath.Path) -> int | None:
    """Free bytes where a folder is, or will be made."""
    found = (disk_free(path) for path in (folder, *folder.parents))
    return next((free for free in found if free is not None), None)


def _is_downloaded(checksum: str, folder: epath.Path) -> bool:
    """Whether TFDS keeps a file of that SHA-256, which its name ends with, in base 64."""
    token = base64.urlsafe_b64encode(bytes.fromhex(checksum)).decode().rstrip("=")
    if not folder.exists():
        return False
    return any(token in path.name and path.is_file() for path in folder.iterdir())


def _read_what_is_there(found: Mapping[str, pathlib.Path]) -> dict[str, Any]:
    """A split's fields of `SplitFiles`, read now so that errors come before a download."""
    have: dict[str, Any] = {}
    if "images" in found:
        path = found["images"]
        have["source"] = path if path.is_dir() else open_archive(path)
    if "annotations" in found:
        have["annotations"] = read_annotations(found["annotations"])
    return have
