"""iNaturalist 2021's archives and annotations, joined by the ids in them."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import os
import pathlib
import zlib
from collections.abc import Container, Iterator, Mapping, Sequence

from fine2coarse.archives import archives
from fine2coarse.archives.archives import Archive, Entry, Skip, SourceError, printable
from fine2coarse.preparation.file_batches import BatchFile, BatchFiller, FileBatch, digest
from fine2coarse.taxonomy import inat2021
from fine2coarse.taxonomy.taxonomy import Taxonomy
from fine2coarse.taxonomy.text_tables import parse_json

NO_ANNOTATION = "image without annotation"
NO_IMAGE = "annotation without image"
UNKNOWN_CATEGORY = "unknown category id"
MISSING_FILE = "image missing from the archive"
NOT_LISTED = "file that the annotations do not list"
SEVERAL_CATEGORIES = "annotations that disagree"
REPEATED_RECORD = "image id or file name that repeats"

_GZIP_BEGIN = b"\x1f\x8b"
_MAX_JSON_BYTES = 8 << 30
_JSON_BEGINS = (b"{", b"[", b"\xef\xbb\xbf{")


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
      digest: of the file's content.
    """

    taxonomy: Taxonomy
    by_file_name: Mapping[str, ImageRecord]
    skips: tuple[Skip, ...]
    digest: str = ""


def read_annotations(path: pathlib.Path) -> Annotations:
    """Reads a split's annotations: the JSON, gzipped or not, or an archive that holds it.

    Raises:
      SourceError: where there is no such JSON in it, or it lacks a part.
    """
    data = _json_bytes(path)
    content = parse_json(data, str(path))
    if not isinstance(content, dict):
        raise SourceError(f"{path}: a JSON {type(content).__name__}; expected an object")
    missing = {"images", "annotations", "categories"} - set(content)
    if missing:
        raise SourceError(f"{path}: the annotations lack {sorted(missing)}")
    categories = inat2021.in_order(content["categories"], str(path))
    label_of = {int(category["id"]): label for label, category in enumerate(categories)}
    taxonomy = inat2021.from_categories(categories, str(path))
    try:
        annotations = join(content["images"], content["annotations"], label_of, taxonomy)
    except (KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{path}: an image without `id` or `file_name`, or an annotation without `id`, "
            f"`image_id` or `category_id` ({error!r}); get the file again"
        ) from error
    return dataclasses.replace(annotations, digest=hashlib.sha256(data).hexdigest())


def annotations_digest(path: pathlib.Path) -> str:
    """SHA-256 of a split's annotations, as JSON."""
    return hashlib.sha256(_json_bytes(path)).hexdigest()


def _json_bytes(path: pathlib.Path) -> bytes:
    """The JSON of a file: as it stands, gzipped, or the only one in an archive."""
    with path.open("rb") as file:
        begin = file.read(512)
    if begin.lstrip().startswith(_JSON_BEGINS):
        return path.read_bytes()
    if begin.startswith(_GZIP_BEGIN) and not archives.is_archive(path):
        return _gunzipped(path)
    archive = archives.open_archive(path)
    entries, _ = archive.scan(_MAX_JSON_BYTES)
    found = [entry for entry in entries if entry.name.endswith(".json")]
    if len(found) != 1:
        names = [printable(entry.name) for entry in (found or entries)[:8]]
        raise SourceError(f"{path} holds {len(found)} .json files, not one; it has {names}")
    ((_, data),) = archive.read(found)
    return data


def _gunzipped(path: pathlib.Path) -> bytes:
    try:
        with gzip.open(path) as file:
            data = file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path} is cut off or damaged ({error}); get it again") from error
    if not data.lstrip().startswith(_JSON_BEGINS):
        raise SourceError(f"{path} holds neither JSON nor a tar")
    return data


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


@dataclasses.dataclass(frozen=True, eq=False)
class SplitFiles:
    """A split's images and annotations.

    Attributes:
      split: its name.
      source: archive of the images, or the folder that the file names of the annotations lie
        below.
      annotations: them.
    """

    split: str
    source: Archive | pathlib.Path
    annotations: Annotations

    @property
    def is_stream(self) -> bool:
        """Whether the images are read once, from the archive's beginning."""
        return isinstance(self.source, Archive) and not self.source.has_random_access

    @property
    def kind(self) -> str:
        """'folder', or the archive's."""
        return self.source.kind if isinstance(self.source, Archive) else "folder"

    @property
    def num_bytes(self) -> int:
        """Size of the archive, or of the listed files that are there."""
        if isinstance(self.source, Archive):
            return self.source.path.stat().st_size
        return sum(entry.size for entry in self._in_folder[0])

    def identity(self) -> Mapping[str, object]:
        """The archive's, or number, size and a digest of the files of a folder."""
        if isinstance(self.source, Archive):
            return self.source.identity()
        entries, _, state = self._in_folder
        return {"files": len(entries), "num_bytes": self.num_bytes, "state": state}

    def batches(self, finished: Container[str]) -> Iterator[FileBatch | Skip]:
        """Yields the files in batches whose limits depend on the source alone.

        Raises:
          SourceError: where the archive is cut off or damaged.
        """
        unseen = set(self.annotations.by_file_name)
        source = self.source if isinstance(self.source, Archive) else str(self.source)
        filler = BatchFiller(self.split, self.split, source)
        for item in self._items(filler, finished):
            if isinstance(item, Skip):
                yield dataclasses.replace(item, name=f"{self.split}: {item.name}")
                continue
            entry, data = item
            file = self._file(entry, data)
            if isinstance(file, BatchFile) and entry.name not in unseen:
                detail = "only the first of this name is read; decompress the archive to have "
                detail += "the last, as unpacking gives"
                yield Skip(file.name, archives.REPEATED_MEMBER, detail)
            elif isinstance(file, BatchFile):
                unseen.discard(entry.name)
                yield from filler.add(file)
            else:
                yield file
        yield from filler.finish()
        for name in sorted(unseen):
            detail = f"image id {self.annotations.by_file_name[name].image_id}"
            yield Skip(f"{self.split}: {printable(name)}", MISSING_FILE, detail, num_files=0)

    def _file(self, entry: Entry, data: bytes | None) -> BatchFile | Skip:
        where = f"{self.split}: {printable(entry.name)}"
        record = self.annotations.by_file_name.get(entry.name)
        if record is None:
            return Skip(where, NOT_LISTED)
        if record.problem:
            return BatchFile(where, entry, problem=record.problem, detail=record.detail)
        features = {"file_name": entry.name}
        return BatchFile(where, entry, record.image_id, record.label, features=features, data=data)

    def _items(
        self, filler: BatchFiller, finished: Container[str]
    ) -> Iterator[tuple[Entry, bytes | None] | Skip]:
        """The files in the source's order, with their bytes where it is a stream."""
        if self.is_stream:
            listed = self.annotations.by_file_name
            yield from self.source.stream(
                lambda name: name in listed and filler.key not in finished
            )
            return
        if isinstance(self.source, Archive):
            entries, skips = self.source.scan()
        else:
            entries, skips, _ = self._in_folder
        yield from skips
        yield from ((entry, None) for entry in entries)

    @functools.cached_property
    def _in_folder(self) -> tuple[list[Entry], list[Skip], str]:
        """The listed files of a folder; what is not as listed; a digest of sizes and times."""
        entries: list[Entry] = []
        skips: list[Skip] = []
        stamps: list[tuple[str, int, int]] = []
        names = self.annotations.by_file_name
        for name in sorted(names):
            path = self.source / name
            if archives.is_unsafe(name):
                skips.append(
                    Skip(printable(name), archives.UNSAFE_PATH, "in the annotations", num_files=0)
                )
            elif path.is_file():
                status = path.stat()
                entries.append(Entry(name, status.st_size, -1))
                stamps.append((name, status.st_size, status.st_mtime_ns))
        for root in sorted({name.split("/")[0] for name in names if not archives.is_unsafe(name)}):
            for folder, _, files in os.walk(self.source / root):
                below = pathlib.Path(folder).relative_to(self.source)
                found = sorted((below / file).as_posix() for file in files)
                skips += [Skip(printable(name), NOT_LISTED) for name in found if name not in names]
        return entries, skips, digest(stamps)


@dataclasses.dataclass(frozen=True, eq=False)
class Inat2021Source:
    """Some splits of iNaturalist 2021.

    Attributes:
      splits: them.
    """

    splits: Sequence[SplitFiles]

    @property
    def kind(self) -> str:
        """For people to read."""
        kinds = sorted({split.kind for split in self.splits})
        return f"iNaturalist 2021: {' and '.join(kinds)} for each split"

    @property
    def num_bytes(self) -> int:
        """Size of all splits."""
        return sum(split.num_bytes for split in self.splits)

    @property
    def can_be_shared(self) -> bool:
        """Whether no archive is compressed as a whole."""
        return not any(split.is_stream for split in self.splits)

    def identity(self) -> Mapping[str, object]:
        """Splits, what their files are, and how many images their annotations list."""
        return {
            "kind": self.kind,
            "splits": {
                split.split: {
                    "images": split.identity(),
                    "listed": len(split.annotations.by_file_name),
                    "annotations": split.annotations.digest,
                }
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
