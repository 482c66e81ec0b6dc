"""One's own photographs: a folder (or tar) of class folders, and a `taxonomy.csv`.

```
photos/                        or photos.tar, with or without a folder around it all
  taxonomy.csv                 fine,coarse,macro    (levels, finest first)
  train/Royal-Gala/001.jpg     {train,val,test}/<fine class>/<file>.{jpg,jpeg,png}
```
"""

from __future__ import annotations

import csv
import dataclasses
import io
import pathlib
import tarfile
from collections.abc import Iterator, Sequence

import tensorflow_datasets as tfds

from fine2coarse.datasets import stored_taxonomy
from fine2coarse.datasets.images import check_image
from fine2coarse.taxonomy.csv_reader import from_rows
from fine2coarse.taxonomy.taxonomy import Taxonomy

SPLITS = ("train", "val", "test")
SKIPPED_FILE = "skipped.csv"
TAXONOMY_FILE = "taxonomy.csv"
_SUFFIXES = (".jpg", ".jpeg", ".png")


class FolderError(ValueError):
    """An image folder that is not laid out as expected."""


@dataclasses.dataclass(kw_only=True)
class FolderConfig(tfds.core.BuilderConfig):
    """Where the photographs lie.

    Attributes:
      source: the folder or the tar file; needed to prepare, not to read.
      max_skipped_share: preparing stops where more than this share of a split is unreadable.
      flat: there is no taxonomy.csv: the class folders are the leaves, with nothing above them.
        Enough for images to test on, whose taxonomy is another dataset's.
    """

    source: str = ""
    max_skipped_share: float = 0.01
    flat: bool = False


class LabelledFolder(tfds.core.GeneratorBasedBuilder):
    """Photographs in class folders with a taxonomy of one's own."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIG_CLASS = FolderConfig

    @property
    def taxonomy(self) -> Taxonomy:
        """The hierarchy whose leaves are the labels."""
        return stored_taxonomy.read(self.info)

    def _info(self) -> tfds.core.DatasetInfo:
        source = pathlib.Path(self.builder_config.source)
        taxonomy = (flat_taxonomy if self.builder_config.flat else read_taxonomy)(source)
        return self.dataset_info_from_configs(
            description=__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "image_id": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=taxonomy.leaf_ids),
                }
            ),
            supervised_keys=("image", "label"),
            metadata=stored_taxonomy.metadata(taxonomy),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        del dl_manager
        source = pathlib.Path(self.builder_config.source)
        needed = () if self.builder_config.flat else ("train",)
        found = _found_splits(source, self.taxonomy, needed)
        return {split: self._generate_examples(source, split) for split in found}

    def _generate_examples(self, source: pathlib.Path, split: str) -> Iterator[tuple[int, dict]]:
        label_of = {
            self.taxonomy.names[node]: label for label, node in enumerate(self.taxonomy.leaf_nodes)
        }
        skipped: list[tuple[str, str]] = []
        num_kept = 0
        for name, data in _files(source, split):
            image = check_image(data)
            if image.problem:
                skipped.append((name, image.problem))
                continue
            label = label_of[pathlib.PurePosixPath(name).parent.name]
            yield num_kept, {"image": io.BytesIO(image.data), "image_id": name, "label": label}
            num_kept += 1
        self._report_skipped(split, skipped, num_kept)

    def _report_skipped(self, split: str, skipped: list[tuple[str, str]], num_kept: int) -> None:
        if not skipped:
            return
        path = pathlib.Path(self.data_path) / SKIPPED_FILE
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(skipped)
        names = ", ".join(f"{name} ({problem})" for name, problem in skipped[:5])
        message = f"{len(skipped)} of {len(skipped) + num_kept} images of {split} skipped: {names}"
        share = len(skipped) / (len(skipped) + num_kept)
        if share > self.builder_config.max_skipped_share:
            raise FolderError(
                f"{self.builder_config.source}: {message}; more than "
                f"max_skipped_share={self.builder_config.max_skipped_share:g}: mend or remove "
                "them, or allow more"
            )
        print(f"{message}; all are listed in {SKIPPED_FILE} beside the prepared data")


def read_taxonomy(source: pathlib.Path) -> Taxonomy:
    """The `taxonomy.csv` of a folder or tar.

    Raises:
      FolderError: where there is no folder, tar or taxonomy.csv.
      TaxonomyError: where its rows contradict each other.
    """
    if source.is_dir():
        path = source / TAXONOMY_FILE
        if not path.is_file():
            raise FolderError(f"{source}: no {TAXONOMY_FILE} (columns: the levels, finest first)")
        text = path.read_text(encoding="utf-8-sig")
    elif source.is_file():
        text = next(
            (data.decode("utf-8-sig") for name, data in _members(source) if name == TAXONOMY_FILE),
            "",
        )
        if not text:
            raise FolderError(f"{source}: no {TAXONOMY_FILE} in the archive")
    else:
        raise FolderError(f"{str(source)!r}: no such folder or tar file")
    return from_rows(list(csv.reader(io.StringIO(text))), where=f"{source}: {TAXONOMY_FILE}")


def flat_taxonomy(source: pathlib.Path) -> Taxonomy:
    """One level, `class`, of the class folders of a folder or tar in alphabetical order.

    Raises:
      FolderError: where there are no images in class folders.
    """
    if not source.exists():
        raise FolderError(f"{str(source)!r}: no such folder or tar file")
    classes = sorted({parts[1] for parts in _image_parts(source)})
    if not classes:
        raise FolderError(f"{source}: no images as {{train,val,test}}/<class>/<file>.jpg")
    return from_rows([["class"], *([name] for name in classes)], where=str(source))


def _found_splits(
    source: pathlib.Path, taxonomy: Taxonomy, complete: Sequence[str] = ("train",)
) -> list[str]:
    """Splits that hold images, after checking every class folder against the taxonomy.

    Every class must have images in each split of `complete`.
    """
    images = {(parts[0], parts[1]) for parts in _image_parts(source)}
    known = {taxonomy.names[node] for node in taxonomy.leaf_nodes}
    folders = _class_folders(source) | images
    unknown = sorted("/".join(folder) for folder in folders if folder[1] not in known)
    if unknown:
        raise FolderError(
            f"{source}: {len(unknown)} class folders are missing from {TAXONOMY_FILE}, "
            f"such as {unknown[:3]}"
        )
    empty = sorted("/".join(folder) for folder in folders - images)
    for split in complete:
        with_images = {name for found, name in images if found == split}
        empty += sorted(f"{split}/{name}" for name in known - with_images)
    if empty:
        raise FolderError(
            f"{source}: classes without images: {empty[:5]}; remove the folder, or the row in "
            f"{TAXONOMY_FILE}, or add images"
        )
    return [split for split in SPLITS if any(split == found for found, _ in images)]


def _image_parts(source: pathlib.Path) -> Iterator[tuple[str, ...]]:
    for name in _names(source):
        parts = pathlib.PurePosixPath(name).parts
        if _is_image(parts):
            yield parts


def _class_folders(source: pathlib.Path) -> set[tuple[str, str]]:
    if not source.is_dir():
        return set()
    return {
        (split, folder.name)
        for split in SPLITS
        if (source / split).is_dir()
        for folder in (source / split).iterdir()
        if folder.is_dir()
    }


def _is_image(parts: tuple[str, ...]) -> bool:
    return len(parts) == 3 and parts[0] in SPLITS and parts[2].lower().endswith(_SUFFIXES)


def _names(source: pathlib.Path) -> Iterator[str]:
    if source.is_dir():
        yield from sorted(p.relative_to(source).as_posix() for p in source.glob("*/*/*"))
    else:
        with tarfile.open(source) as archive:
            prefix = _prefix(archive)
            yield from (m.name.removeprefix(prefix) for m in archive if m.isfile())


def _files(source: pathlib.Path, split: str) -> Iterator[tuple[str, bytes]]:
    """Names (`split/class/file`) and bytes of a split's images."""
    if source.is_dir():
        for name in _names(source):
            parts = pathlib.PurePosixPath(name).parts
            if _is_image(parts) and parts[0] == split:
                yield name, (source / name).read_bytes()
    else:
        for name, data in _members(source):
            parts = pathlib.PurePosixPath(name).parts
            if _is_image(parts) and parts[0] == split:
                yield name, data


def _members(source: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of a tar's files, read in memory: nothing is unpacked to disk."""
    with tarfile.open(source) as archive:
        prefix = _prefix(archive)
        for member in archive:
            if member.isfile():
                yield member.name.removeprefix(prefix), archive.extractfile(member).read()


def _prefix(archive: tarfile.TarFile) -> str:
    """What stands before `taxonomy.csv` in the archive: '', './' or 'photos/'."""
    names = [m.name for m in archive if pathlib.PurePosixPath(m.name).name == TAXONOMY_FILE]
    return min(names, key=len, default=TAXONOMY_FILE).removesuffix(TAXONOMY_FILE)
