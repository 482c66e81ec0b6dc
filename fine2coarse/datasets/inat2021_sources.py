"""iNaturalist 2021's archives and annotations, joined by the ids in them."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tarfile
from collections.abc import Callable, Container, Iterator, Mapping, Sequence

from fine2coarse.datasets import archives
from fine2coarse.datasets.archives import Member, Skip, SourceError
from fine2coarse.datasets.units import SourceImage
from fine2coarse.taxonomy import inat2021
from fine2coarse.taxonomy.taxonomy import Taxonomy

NO_ANNOTATION = "image without annotation"
NO_IMAGE = "annotation without image"
UNKNOWN_CATEGORY = "unknown category id"
MISSING_FILE = "image missing from the archive"
NOT_LISTED = "file that the annotations do not list"
SEVERAL_CATEGORIES = "annotations that disagree"
REPEATED_RECORD = "image id or file name that repeats"

_MAX_UNIT_BYTES = 64 << 20
_MAX_UNIT_FILES = 2048


@dataclasses.dataclass(frozen=True, slots=True)
class ImageRecord:
    """What the annotations say of a file.

    Attributes:
      image_id: the competition's number of the image, as text.
      label: leaf label; -1 where `problem` says why there is none.
      problem: reason of the skip, else empty.
      detail: of the problem.
    """

    image_id: str
    label: int
    problem: str = ""
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Annotations:
    """The annotations of a split.

    Attributes:
      taxonomy: of the categories, by their ids.
      by_file_name: file name → record.
      skips: annotations of images that are not there, records that repeat.
    """

    taxonomy: Taxonomy
    by_file_name: Mapping[str, ImageRecord]
    skips: tuple[Skip, ...]


def read_annotations(path: pathlib.Path) -> Annotations:
    """Reads a split's annotations: the JSON, or the tar.gz that holds it.

    Raises:
      SourceError: where there is no such JSON in it, or it lacks a part.
    """
    try:
        content = json.loads(_json_bytes(path))
    except ValueError as error:
        raise SourceError(f"{path}: not JSON: {error}") from error
    missing = {"images", "annotations", "categories"} - set(content)
    if missing:
        raise SourceError(f"{path}: the annotations lack {sorted(missing)}")
    categories = inat2021.in_order(content["categories"], str(path))
    label_of = {int(category["id"]): label for label, category in enumerate(categories)}
    return join(
        content["images"],
        content["annotations"],
        label_of,
        inat2021.from_categories(categories, str(path)),
    )


def _json_bytes(path: pathlib.Path) -> bytes:
    with path.open("rb") as file:
        if file.read(1) in b"{[":
            return path.read_bytes()
    try:
        with archives.open_tar(path) as file:
            for member in archives.iterate_tar(
                file, "", wants_data=lambda name: name.endswith(".json")
            ):
                if isinstance(member, Member) and member.data is not None:
                    return member.data
    except (tarfile.TarError, OSError, EOFError) as error:
        raise SourceError(f"{path}: neither JSON nor a tar that holds it: {error}") from error
    raise SourceError(f"{path}: no .json in it")


def join(
    images: Sequence[Mapping],
    annotations: Sequence[Mapping],
    label_of: Mapping[int, int],
    taxonomy: Taxonomy,
) -> Annotations:
    """Joins images and annotations by image id.

    Args:
      images: records with `id` and `file_name`.
      annotations: records with `id`, `image_id` and `category_id`.
      label_of: category id → leaf label.
      taxonomy: over the leaves.
    """
    skips: list[Skip] = []
    file_of: dict[int, str] = {}
    records: dict[str, ImageRecord] = {}
    for image in images:
        name = image["file_name"]
        if image["id"] in file_of or name in records:
            skips.append(Skip(name, REPEATED_RECORD, f"image id {image['id']}", num_files=0))
            continue
        file_of[image["id"]] = name
        records[name] = ImageRecord(str(image["id"]), -1, NO_ANNOTATION, f"image id {image['id']}")
    for annotation in annotations:
        name = file_of.get(annotation["image_id"])
        if name is None:
            where = f"annotation {annotation['id']}"
            detail = f"image id {annotation['image_id']}"
            skips.append(Skip(where, NO_IMAGE, detail, num_files=0))
            continue
        records[name] = _annotated(records[name], annotation["category_id"], label_of)
    return Annotations(taxonomy, records, tuple(skips))


def _annotated(record: ImageRecord, category: int, label_of: Mapping[int, int]) -> ImageRecord:
    label = label_of.get(category, -1)
    if label < 0:
        return ImageRecord(record.image_id, -1, UNKNOWN_CATEGORY, f"category id {category}")
    if record.problem == NO_ANNOTATION or record.label == label:
        return ImageRecord(record.image_id, label)
    detail = record.detail or f"labels {record.label} and {label}"
    return ImageRecord(record.image_id, -1, SEVERAL_CATEGORIES, detail)


@dataclasses.dataclass(frozen=True)
class AnnotatedFile:
    """A file that has its place in the annotations, and where its bytes are.

    Attributes:
      name: file name in the annotations.
      record: what they say.
      data: its bytes; None where they are to be read from the unit's path.
      offset: where in that path; -1 where `name` is below it.
      size: of the file.
    """

    name: str
    record: ImageRecord
    data: bytes | None
    offset: int
    size: int


@dataclasses.dataclass(frozen=True)
class FileBatch:
    """Consecutive files of a split.

    Attributes:
      key: split and number.
      split: of the images.
      path: the plain tar they lie in, or the folder they lie below.
      files: them.
      num_source_bytes: their size.
    """

    key: str
    split: str
    path: str
    files: tuple[AnnotatedFile, ...]
    num_source_bytes: int

    def read(self) -> Iterator[SourceImage | Skip]:
        """Yields them."""
        for file in self.files:
            where = f"{self.split}: {file.name}"
            record = file.record
            if record.problem:
                yield Skip(where, record.problem, record.detail)
                continue
            extra = {"file_name": file.name}
            yield SourceImage(where, record.image_id, record.label, self._bytes(file), extra)

    def _bytes(self, file: AnnotatedFile) -> bytes:
        if file.data is not None:
            return file.data
        if file.offset < 0:
            return (pathlib.Path(self.path) / file.name).read_bytes()
        with pathlib.Path(self.path).open("rb", buffering=0) as tar:
            tar.seek(file.offset)
            return tar.read(file.size)


class _FillingBatch:
    """Gathers files until a batch is full."""

    def __init__(self, split: str, path: str) -> None:
        self._split, self._path, self._number = split, path, 0
        self.files: list[AnnotatedFile] = []
        self._num_bytes = 0

    @property
    def key(self) -> str:
        """Of the batch that is being filled."""
        return f"{self._split}/{self._number:06d}"

    def add(self, file: AnnotatedFile) -> None:
        """Adds a file."""
        self.files.append(file)
        self._num_bytes += file.size

    @property
    def is_full(self) -> bool:
        """Whether the batch has its share of files or bytes."""
        return self._num_bytes >= _MAX_UNIT_BYTES or len(self.files) >= _MAX_UNIT_FILES

    def take(self) -> FileBatch:
        """The batch; another one is begun."""
        batch = FileBatch(self.key, self._split, self._path, tuple(self.files), self._num_bytes)
        self._number, self.files, self._num_bytes = self._number + 1, [], 0
        return batch


@dataclasses.dataclass(frozen=True, eq=False)
class SplitFiles:
    """A split's images and annotations.

    Attributes:
      split: its name.
      path: archive of the images (.tar.gz or .tar), or the folder that the file names of the
        annotations lie below.
      annotations: them.
    """

    split: str
    path: pathlib.Path
    annotations: Annotations

    @property
    def num_bytes(self) -> int:
        """Size of the archive, or of the listed files that are there."""
        if self.path.is_file():
            return self.path.stat().st_size
        files = (self.path / name for name in self.annotations.by_file_name)
        return sum(file.stat().st_size for file in files if file.is_file())

    def batches(self, finished: Container[str]) -> Iterator[FileBatch | Skip]:
        """Yields the files in batches whose limits depend on the source alone.

        Raises:
          SourceError: where the archive is cut off.
        """
        unseen = set(self.annotations.by_file_name)
        filling = _FillingBatch(self.split, str(self.path))
        for item in self._members(lambda: filling.key in finished):
            if isinstance(item, Skip):
                yield item
                continue
            record = self.annotations.by_file_name.get(item.name)
            if record is None:
                yield Skip(f"{self.split}: {item.name}", NOT_LISTED)
                continue
            unseen.discard(item.name)
            filling.add(AnnotatedFile(item.name, record, item.data, item.offset, item.size))
            if filling.is_full:
                yield filling.take()
        if filling.files:
            yield filling.take()
        for name in sorted(unseen):
            record = self.annotations.by_file_name[name]
            detail = f"image id {record.image_id}"
            yield Skip(f"{self.split}: {name}", MISSING_FILE, detail, num_files=0)

    def _members(self, is_finished: Callable[[], bool]) -> Iterator[Member | Skip]:
        if self.path.is_dir():
            for name in sorted(self.annotations.by_file_name):
                path = self.path / name
                if archives.is_unsafe(name):
                    yield Skip(name, archives.UNSAFE_PATH, "in the annotations", num_files=0)
                elif path.is_file():
                    yield Member(name, None, -1, path.stat().st_size)
            return
        is_gzipped = archives.is_gzip(self.path)
        with archives.open_tar(self.path) as file:
            for item in archives.iterate_tar(
                file,
                "",
                wants_data=lambda name: is_gzipped and not is_finished(),
                seekable=not is_gzipped,
            ):
                if isinstance(item, Skip) and item.reason == archives.CUT_OFF:
                    raise SourceError(
                        f"{self.path} is cut off or damaged ({item.detail}): get it again"
                    )
                yield item


@dataclasses.dataclass(frozen=True, eq=False)
class Inat2021Source:
    """Some splits of iNaturalist 2021.

    Attributes:
      splits: them.
    """

    splits: Sequence[SplitFiles]

    @property
    def kind(self) -> str:
        """In words."""
        kinds = {
            "folder"
            if split.path.is_dir()
            else "gzipped tar"
            if archives.is_gzip(split.path)
            else "tar"
            for split in self.splits
        }
        return f"iNaturalist 2021: {' and '.join(sorted(kinds))} for each split"

    @property
    def num_bytes(self) -> int:
        """Size of all splits."""
        return sum(split.num_bytes for split in self.splits)

    @property
    def can_be_shared(self) -> bool:
        """Whether no archive is gzipped."""
        return not any(
            split.path.is_file() and archives.is_gzip(split.path) for split in self.splits
        )

    def identity(self) -> Mapping[str, object]:
        """Splits, their sizes, and how many images their annotations list."""
        return {
            "kind": self.kind,
            "splits": {
                split.split: [split.num_bytes, len(split.annotations.by_file_name)]
                for split in self.splits
            },
        }

    def units(self, finished: Container[str]) -> Iterator[FileBatch | Skip]:
        """Yields the splits' batches, and what has no file or no annotation."""
        for split in self.splits:
            for skip in split.annotations.skips:
                yield dataclasses.replace(skip, name=f"{split.split}: {skip.name}")
            yield from split.batches(finished)

    def taxonomy(self) -> Taxonomy:
        """The taxonomy that all splits share.

        Raises:
          SourceError: where their categories differ.
        """
        first = self.splits[0]
        for split in self.splits[1:]:
            if split.annotations.taxonomy.fingerprint != first.annotations.taxonomy.fingerprint:
                raise SourceError(f"the categories of {first.split} and {split.split} differ")
        return first.annotations.taxonomy
