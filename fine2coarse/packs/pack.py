"""Reading a pack: datasets whose images are arrays, memory-mapped, without TensorFlow."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from fine2coarse.files import read_json
from fine2coarse.image_ids import ImageIds
from fine2coarse.packs.images import PackedImages
from fine2coarse.packs.layout import (
    DIGESTS,
    EVEN,
    FILES,
    HARD,
    IDS,
    LABELS,
    OFFSETS,
    PACK,
    PIXELS,
    SHAPES,
    VERSION,
    PackError,
    Pixels,
    told_images,
    wanted_images,
)
from fine2coarse.paths import is_remote
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.taxonomy.taxonomy import Taxonomy

_log = logging.getLogger(__name__)
_READ_BYTES = 1 << 24


@dataclasses.dataclass(frozen=True, eq=False)
class PackedIndex:
    """Who the images of a split are, in stored order; memory-mapped.

    Attributes:
      image_ids: N unique ids.
      labels: int32 [N], the leaf label of each.
      hard: bool [N], or None where the dataset does not flag hard images.
    """

    image_ids: ImageIds
    labels: np.ndarray
    hard: np.ndarray | None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.image_ids)


@dataclasses.dataclass(frozen=True)
class PackedPreparation:
    """What is known of how a packed dataset was prepared.

    Attributes:
      told: the counts, and the first files that were skipped; JSON-able.
    """

    told: Mapping[str, Any]

    def facts(self, num_skips: int) -> dict[str, Any]:
        """The counts, and the first files that were skipped, as the dataset itself tells them."""
        return {**self.told, "first_skips": self.told["first_skips"][:num_skips]}


@dataclasses.dataclass(frozen=True, eq=False)
class PackedDataset:
    """A dataset of a pack; for a study it is what the prepared dataset is.

    Attributes:
      pack: that it lies in.
      number: which of the pack's datasets it is.
    """

    pack: Pack
    number: int

    @property
    def _told(self) -> Mapping[str, Any]:
        return self.pack.content["datasets"][self.number]

    @property
    def name(self) -> str:
        """Name, config and version of the prepared dataset, e.g. `demo/default/1.0.0`."""
        return self._told["dataset"]

    @property
    def fingerprint(self) -> str:
        """That of the prepared dataset: of the taxonomy and every image as it was stored there."""
        return self._told["fingerprint"]

    @property
    def splits(self) -> Mapping[str, int]:
        """Number of images of each split of the prepared dataset, packed or not."""
        return self._told["splits"]

    @functools.cached_property
    def taxonomy(self) -> Taxonomy:
        """Its leaves are the labels, in order."""
        path = self.pack.folder / self._told["taxonomy"]
        try:
            return Taxonomy.from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self.pack.damaged(path) from error

    def preparation(self) -> PackedPreparation | None:
        """How the images were prepared; None where that is not known."""
        told = self._told["preparation"]
        return None if told is None else PackedPreparation(told)

    def index(self, split: str) -> PackedIndex:
        """Ids, labels and flags of a split.

        Raises:
          PackError: where it is not packed or damaged, as of all these methods.
        """
        hard = HARD if HARD in self._part(split)["arrays"] else None
        labels, num_leaves = self._array(split, LABELS), self.taxonomy.num_leaves
        if len(labels) and not 0 <= labels.min() <= labels.max() < num_leaves:
            raise self.pack.damaged(self.pack.folder / self._part(split)["folder"] / LABELS)
        return PackedIndex(
            ImageIds(self._array(split, IDS)), labels, hard and self._array(split, hard)
        )

    def digests(self, split: str) -> np.ndarray:
        """What each image showed as it was stored in the dataset: uint64 [N, 2], stored order."""
        return self._array(split, DIGESTS)

    def images(self, split: str) -> np.ndarray | PackedImages:
        """The images of a split, memory-mapped.

        Returns:
          uint8 [N, h, w, 3] where all are equally large, else images of several sizes, or files.
        """
        layout, pixels = self._part(split)["layout"], self._array(split, PIXELS)
        if layout == EVEN:
            return pixels
        shapes = None if layout == FILES else self._array(split, SHAPES)
        return PackedImages(pixels, self._array(split, OFFSETS), shapes)

    def changed_pixels(self, split: str) -> str:
        """How pixels differ from the stored ones, e.g. 'squares 64 px'; empty where none does."""
        return self.pack.pixels.changed if self._part(split)["num_changed"] else ""

    def num_bytes(self, split: str) -> int:
        """Bytes of all images of a split, as they are packed."""
        return int(self._part(split)["image_bytes"])

    def _part(self, split: str) -> Mapping[str, Any]:
        for part in self.pack.content["parts"]:
            if (part["dataset"], part["split"]) == (self.number, split):
                return part
        raise PackError(
            f"{self.pack.folder} does not hold split {split!r} of {self.name}, but "
            f"{self.pack.described()}"
        )

    def _array(self, split: str, name: str) -> np.ndarray:
        path = self.pack.folder / self._part(split)["folder"] / name
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError:  # an empty array has nothing to map
            try:
                found = np.load(path, allow_pickle=False)
            except ValueError as error:
                raise self.pack.damaged(path) from error
        return np.asarray(found)  # a view of the mapping, without `np.memmap`'s slow methods


@dataclasses.dataclass(frozen=True, eq=False)
class Pack:
    """A whole pack.

    Attributes:
      folder: where it lies.
      content: of its `pack.json`.
    """

    folder: pathlib.Path
    content: Mapping[str, Any]

    @property
    def pixels(self) -> Pixels:
        """What became of the images' pixels."""
        return Pixels(self.content["pixels"], self.content["size_px"])

    def dataset(self, role: str) -> PackedDataset:
        """The dataset that a field of the recipe names.

        Args:
          role: 'dataset', 'transfer_dataset' or 'evaluation'.

        Raises:
          PackError: where the packed recipe named none there.
        """
        if role not in self.content["roles"]:
            raise PackError(
                f"{self.folder} holds nothing for config.{role}; it holds {self.described()}"
            )
        return PackedDataset(self, self.content["roles"][role])

    def described(self) -> str:
        """What it holds, for people to read."""
        return f"{told_images(self.content['datasets'], self.content['parts'])} ({self.pixels})"

    def check(self, recipe: Recipe) -> None:
        """Makes sure that it holds the images that a recipe reads.

        Where the images lay, and how they were prepared, is not compared: the fingerprint, which
        every run notes, tells which images they are.

        Raises:
          PackError: saying what it holds, what the recipe reads, and what makes the right one.
        """
        parts = {(part["dataset"], part["split"]) for part in self.content["parts"]}
        for role, wanted in wanted_images(recipe).items():
            number, named = self.content["roles"].get(role), wanted.named()
            held = None if number is None else self.content["datasets"][number]
            is_same = held and {key: held[key] for key in ("name", "options")} == named
            if not is_same or any((number, split) not in parts for split in wanted.splits):
                told = told_images(
                    [named], [{"dataset": 0, "split": split} for split in wanted.splits]
                )
                raise PackError(
                    f"{self.folder} holds {self.described()}, but config.{role} of this recipe "
                    f"reads {told}. Make its own: fine2coarse pack --config=CARD --out=FOLDER, "
                    "with the same --config.… flags"
                )
            self._compare_places(role, wanted.spec.options, held["given"])

    def _compare_places(self, role: str, now: Mapping, packed: Mapping[str, Any]) -> None:
        for name in ("source", "taxonomy"):
            if name in now and now[name] != packed.get(name, now[name]):
                _log.warning(
                    "config.%s.options.%s=%s, but the images are those of %s, which was packed "
                    "from %s",
                    role,
                    name,
                    now[name],
                    self.folder,
                    packed[name],
                )

    def damaged(self, path: pathlib.Path) -> PackError:
        """The error for a file that is not what was written."""
        return PackError(
            f"{path} is damaged: copy it again, or delete {self.folder} and pack again; "
            f"fine2coarse pack --out={self.folder} --verify looks at all files"
        )

    def verify(self) -> int:
        """Reads all arrays and taxonomies and compares each SHA-256 with that of its writing.

        Returns:
          Number of arrays.

        Raises:
          PackError: naming those that differ.
        """
        damaged, count = [], 0
        for part in self.content["parts"]:
            for name, told in part["arrays"].items():
                path, count = self.folder / part["folder"] / name, count + 1
                if sha256_of(path) != told["sha256"]:
                    damaged.append(f"{part['folder']}/{name}")
        for dataset in self.content["datasets"]:
            path = self.folder / dataset["taxonomy"]
            if not path.is_file() or sha256_of(path) != dataset.get("taxonomy_sha256"):
                damaged.append(dataset["taxonomy"])
        if damaged:
            raise PackError(
                f"{self.folder}: {len(damaged)} files are damaged: {', '.join(damaged)}; delete "
                "the folder and pack again"
            )
        return count


def open_pack(folder: str | os.PathLike) -> Pack:
    """Opens a pack; each array must have its size, whose content `Pack.verify` reads.

    Raises:
      PackError: where there is none, or it is not whole.
    """
    if is_remote(folder):
        raise PackError(f"{folder}: a pack is memory-mapped; copy it to a disk of this machine")
    folder = pathlib.Path(folder)
    if not (folder / PACK).is_file():
        raise PackError(
            f"{folder} holds no whole pack: there is no {PACK}. fine2coarse pack --config=CARD "
            f"--out={folder} makes it, or goes on where it was stopped"
        )
    content = read_json(folder / PACK)
    if not isinstance(content, Mapping) or content.get("version") != VERSION:
        version = content.get("version") if isinstance(content, Mapping) else None
        raise PackError(
            f"{folder / PACK}: version {version} of a pack, expected {VERSION}; make it again with "
            "this version of fine2coarse"
        )
    try:
        arrays = {
            folder / _plain(part["folder"]) / _plain(name): told["bytes"]
            for part in content["parts"]
            for name, told in part["arrays"].items()
        }
        for dataset in content["datasets"]:
            _plain(dataset["taxonomy"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PackError(
            f"{folder / PACK} is damaged ({error!r}): copy it again, or delete {folder} and pack "
            "again"
        ) from error
    for path, wanted in arrays.items():
        size = path.stat().st_size if path.is_file() else None
        if size != wanted:
            found = "is missing" if size is None else f"has {size:,} bytes"
            raise PackError(
                f"{path} {found}, expected {wanted:,}: copy it again, or delete {folder} and pack "
                "again"
            )
    return Pack(folder, content)


def _plain(name: str) -> str:
    """The name of a file or folder of a pack, which leads nowhere else.

    Raises:
      ValueError: on any other.
    """
    if not re.fullmatch(r"\w+(\.\w+)?", name):
        raise ValueError(f"{name!r} is no name of a file in a pack")
    return name


def sha256_of(path: pathlib.Path) -> str:
    """Hex SHA-256 of a file's bytes, as `sha256sum` prints it."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            total.update(block)
    return total.hexdigest()
