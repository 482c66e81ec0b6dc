"""WebDataset shards: tars in which the files of one key are an image and its label.

```
imagenet12k-train-0000.tar        or train/0000.tar, .tar.gz
  n01440764_10026.jpg             the image: jpg, jpeg, png, webp, ...
  n01440764_10026.cls             its label: an integer, or the name of a class
  n01440764_10026.json            or a field of this: {"label": 0, "class_name": "n01440764"}
```

A key ends at the first dot of the file's name. Nothing is unpacked, and nothing but images, `cls`
and `json` is read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import logging
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from fine2coarse.archives import archives
from fine2coarse.archives.archives import Archive, Entry, Listing, Skip, SourceError, printable
from fine2coarse.archives.file_tree import is_hidden
from fine2coarse.archives.tars import FileSlice, TarDamage, TarWalker
from fine2coarse.datasets.label_levels import CLS, KEY, level_name
from fine2coarse.datasets.shard_files import SUFFIXES, ShardFile, ShardsError
from fine2coarse.datasets.shard_labels import Label, LabelColumn, LabelRow
from fine2coarse.datasets.shard_scan import NO_IMAGE, NO_LABEL, SEVERAL_IMAGES, ShardScan
from fine2coarse.datasets.sharded import ShardedBuilder, ShardedConfig
from fine2coarse.errors import Fine2CoarseError
from fine2coarse.nearest import unknown
from fine2coarse.preparation.file_batches import HIDDEN, NOT_IN_LAYOUT
from fine2coarse.taxonomy.wordnet import is_synset_id

_log = logging.getLogger(__name__)

JSON = "json"
IMAGE_SUFFIXES = frozenset(
    ("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm", "pgm", "avif")
    + ("jp2", "heic", "heif", "jxl")
)
_META = re.compile(r"__[^/]*__($|/)")  # what WebDataset's own reader passes over
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_MAX_LABEL_BYTES = 1 << 20
_PIECE_BYTES = 512  # of an image, to notice changes by
_HEADER_BUFFER_BYTES = 1 << 14
_NUM_MEMBERS_LOOKED_AT = 100


class _NoLabel(Fine2CoarseError):
    """A key whose label is missing or none."""


@dataclasses.dataclass(kw_only=True, eq=False)
class WebDatasetConfig(ShardedConfig):
    """Where the shards lie, and what of a key is its image and its label.

    Attributes:
      image_field: what stands behind the first dot of the images' names; any image where empty.
      label_fields: what holds the labels, finest first: 'cls', fields of the JSON, or '__key__' for
        the synset id that a key begins with; 'cls' where empty.
    """

    image_field: str = ""
    label_fields: tuple[str, ...] = ()

    def reader(self) -> WebDatasetReader:
        """What reads the shards, as far as it was given."""
        return WebDatasetReader(self.image_field.lower(), tuple(self.label_fields))


class WebdatasetImages(ShardedBuilder):
    """Images in WebDataset shards."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIG_CLASS = WebDatasetConfig


@dataclasses.dataclass(frozen=True)
class WebDatasetReader:
    """Reads WebDataset shards.

    Attributes:
      image_field: see `WebDatasetConfig`.
      label_fields: see `WebDatasetConfig`.
    """

    image_field: str = ""
    label_fields: tuple[str, ...] = ()
    what = "WebDataset shards"
    suffixes = SUFFIXES["webdataset"]

    def settled(self, shard: ShardFile) -> WebDatasetReader:
        """With 'cls' as the label where none was named; what was named is looked for.

        Raises:
          ShardsError: where the first keys have no such label.
        """
        fields, content = _first_members(shard)
        in_json = sorted(_scalars(content)) if isinstance(content, Mapping) else []
        there = [*([CLS] if CLS in fields else []), *in_json]
        if not self.label_fields:
            if CLS in fields:
                return dataclasses.replace(self, label_fields=(CLS,))
            raise ShardsError(
                f"{shard.path}: no KEY.cls among its first files (KEY.{', KEY.'.join(fields)}); "
                + (
                    f"name a field of KEY.json: {', '.join(in_json)}, e.g. "
                    f"--config.dataset.options.label_fields=\"('{_likely(content)}',)\""
                    if in_json
                    else "labels stand in KEY.cls, or in a field of KEY.json"
                )
            )
        for field in self.label_fields:
            if field != KEY and field not in there and not _has(content, field):
                raise ShardsError(f"{shard.path}: {unknown('label field', field, [*there, KEY])}")
        return self

    def scan(self, shard: ShardFile) -> ShardScan:
        """Reads headers and labels."""
        try:
            kind = archives.open_archive(pathlib.Path(shard.path)).kind
        except SourceError as error:
            return ShardScan.failed(str(error).removeprefix(f"{shard.path}: "))
        if kind == "zip":
            return ShardScan.failed("a zip; expected a tar")
        members = _Members(self._holds_label)
        try:
            if kind == "tar":
                members.read_tar(shard)
            else:
                members.read_stream(shard, kind)
        except (TarDamage, archives.ArchiveDamage) as error:
            return ShardScan.failed(f"cut off or damaged ({error})")
        return self._grouped(shard, members)

    def images(
        self, shard: ShardFile, scan: ShardScan, begin: int, end: int
    ) -> Iterator[tuple[int, bytes | Skip]]:
        """Images and their bytes; of a compressed shard in the tar's order."""
        archive = archives.open_archive(pathlib.Path(shard.path))
        entries = [
            Entry(f"image {number} ", int(scan.sizes[number]), int(scan.positions[number]))
            for number in range(begin, end)
        ]
        number_of = {entry: begin + offset for offset, entry in enumerate(entries)}
        for entry, data in Archive(archive.path, archive.kind).read(entries):
            yield number_of[entry], data

    def _holds_label(self, suffix: str) -> bool:
        if suffix == CLS:
            return CLS in self.label_fields
        return suffix == JSON and any(field not in (CLS, KEY) for field in self.label_fields)

    def _grouped(self, shard: ShardFile, members: _Members) -> ShardScan:
        samples: dict[str, dict[str, list[Entry]]] = {}
        skips = [
            dataclasses.replace(skip, name=f"{shard.name}/{skip.name}") for skip in members.skips
        ]
        for entry in members.entries:
            key, suffix = split_name(entry.name)
            if not key:
                reason = HIDDEN if is_hidden(entry.name) else NOT_IN_LAYOUT
                detail = "" if reason == HIDDEN else "expected KEY.SUFFIX"
                skips.append(Skip(f"{shard.name}/{printable(entry.name)}", reason, detail))
            else:
                samples.setdefault(key, {}).setdefault(suffix, []).append(entry)
        found: list[tuple[bytes, int, int, int]] = []
        position_of: dict[LabelRow, int] = {}
        for key, fields in samples.items():
            where = f"{shard.name}/{printable(key)}"
            images = self._images_of(fields)
            if not images:
                if any(map(self._holds_label, fields)):
                    skips.append(Skip(where, NO_IMAGE, f"only {', '.join(map(printable, fields))}"))
                else:
                    told = ", ".join(printable(f"{key}.{suffix}") for suffix in fields)
                    skips.append(Skip(where, NOT_IN_LAYOUT, f"no image and no label: {told}"))
            elif len(images) > 1:
                told = ", ".join(printable(suffix) for suffix, _ in images)
                detail = f"{told}; image_field says which is meant"
                skips.append(Skip(where, SEVERAL_IMAGES, detail))
            else:
                try:
                    row = self._labels(key, fields, members.labels)
                except _NoLabel as error:
                    skips.append(Skip(where, NO_LABEL, str(error)))
                    continue
                entry = images[0][1]
                text = key.encode("utf-8", "surrogateescape")
                row_number = position_of.setdefault(row, len(position_of))
                found.append((text, entry.position, entry.size, row_number))
        numbers = np.asarray([fields[1:] for fields in found], np.int64).reshape(-1, 3)
        return ShardScan(
            keys=np.asarray([fields[0] for fields in found], np.bytes_),
            positions=numbers[:, 0],
            sizes=numbers[:, 1],
            rows=numbers[:, 2].astype(np.int32),
            cuts=np.arange(len(found)) if members.has_random_access else np.zeros(0, np.int64),
            label_rows=tuple(position_of),
            columns=tuple(LabelColumn(level_name(field)) for field in self.label_fields),
            skips=tuple(skips),
            digest=members.digest(),
        )

    def _images_of(self, fields: Mapping[str, list[Entry]]) -> list[tuple[str, Entry]]:
        """Images of a key: those of one simple suffix, as jpg, before those as seg.png."""
        if self.image_field:
            return [(self.image_field, entry) for entry in fields.get(self.image_field, ())]
        found = [
            (suffix, entry)
            for suffix, entries in fields.items()
            if suffix.rpartition(".")[2] in IMAGE_SUFFIXES
            for entry in entries
        ]
        simple = [(suffix, entry) for suffix, entry in found if "." not in suffix]
        return simple or found

    def _labels(
        self, key: str, fields: Mapping[str, list[Entry]], data_of: Mapping[int, bytes]
    ) -> LabelRow:
        """The labels of a key.

        Raises:
          _NoLabel: where one is missing.
        """
        content: Any = None
        row: list[Label] = []
        for field in self.label_fields:
            if field == KEY:
                row.append(_synset_of(key))
            elif field == CLS:
                row.append(_parse_text(_data(fields, CLS, data_of)))
            else:
                content = _parse_json(_data(fields, JSON, data_of)) if content is None else content
                row.append(_parse_value(content, field))
        return tuple(row)


class _Members:
    """The files of a tar, the bytes of those that hold labels, and a digest.

    Attributes:
      entries: files, in the tar's order.
      skips: what is none.
      labels: position of a file that holds labels → its bytes.
      has_random_access: whether files can be read in any order.
    """

    def __init__(self, holds_label: Any) -> None:
        self.entries: list[Entry] = []
        self.skips: list[Skip] = []
        self.labels: dict[int, bytes] = {}
        self.has_random_access = True
        self._holds_label = holds_label
        self._digest = hashlib.sha256()

    def read_tar(self, shard: ShardFile) -> None:
        """Of a plain tar, whose images are passed over.

        Raises:
          TarDamage: where it is not whole.
        """
        with pathlib.Path(shard.path).open("rb", buffering=_HEADER_BUFFER_BYTES) as file:
            tar = FileSlice(file, 0, shard.size)
            listing = Listing()
            for header in TarWalker(tar):
                listing.add(header)
            self.entries, self.skips = listing.finish()
            for entry in self.entries:
                if self._is_label(entry):
                    data = self.labels[entry.position] = tar.read_at(entry.position, entry.size)
                else:
                    middle = entry.position + max(0, entry.size - _PIECE_BYTES) // 2
                    data = tar.read_at(middle, min(entry.size, _PIECE_BYTES))
                self._note(entry, data)

    def read_stream(self, shard: ShardFile, kind: str) -> None:
        """Of a compressed tar, which is decompressed to its end.

        Raises:
          ArchiveDamage: where it is not whole.
        """
        self.has_random_access = False
        last: dict[str, Entry] = {}
        for item in Archive(pathlib.Path(shard.path), kind).stream(lambda name: True):
            if isinstance(item, Skip):
                self.skips.append(item)
                continue
            entry, data = item
            if entry.name in last:
                detail = "the last member of this name counts, as when unpacking"
                skip = Skip(printable(entry.name), archives.REPEATED_MEMBER, detail)
                self.skips.append(skip)
                del last[entry.name]
            last[entry.name] = entry
            if self._is_label(entry):
                self.labels[entry.position] = data
            self._note(entry, data)
        self.entries = list(last.values())

    def digest(self) -> str:
        """Of all files: names, sizes, labels, and of each other file a piece, or all of it."""
        return self._digest.hexdigest()

    def _is_label(self, entry: Entry) -> bool:
        return self._holds_label(split_name(entry.name)[1]) and entry.size <= _MAX_LABEL_BYTES

    def _note(self, entry: Entry, data: bytes) -> None:
        name = entry.name.encode("utf-8", "surrogateescape")
        self._digest.update(b"%b\0%d\0%d\0" % (name, entry.size, len(data)))
        self._digest.update(data)


def split_name(name: str) -> tuple[str, str]:
    """Key and suffix of a member, the latter in lower case: ('a/n1_2', 'jpg'), as WebDataset does.

    The key ends at the first dot behind the last slash. Both are empty where there is no key: of
    hidden files, of names without a dot, and of what WebDataset's readers pass over.
    """
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    if not stem or not dot or _META.match(name) or is_hidden(name):
        return "", ""
    return f"{folder}{slash}{stem}", suffix.lower()


def _first_members(shard: ShardFile) -> tuple[list[str], Any]:
    """Suffixes of the first files of a shard, and the content of the first JSON among them.

    Raises:
      ShardsError: where there is no file, or it is no tar.
    """
    try:
        archive = archives.open_archive(pathlib.Path(shard.path))
        suffixes: dict[str, None] = {}
        content: Any = None
        with contextlib.closing(_stream(archive)) as members:
            for name, data in itertools.islice(members, _NUM_MEMBERS_LOOKED_AT):
                suffix = split_name(name)[1]
                if suffix:
                    suffixes.setdefault(suffix)
                if suffix == JSON and content is None:
                    with contextlib.suppress(_NoLabel):
                        content = _parse_json(data)
    except SourceError as error:
        raise ShardsError(str(error)) from error
    if not suffixes:
        raise ShardsError(
            f"{shard.path}: no files named KEY.SUFFIX, as in 000001.jpg and 000001.cls, among its "
            f"first {_NUM_MEMBERS_LOOKED_AT}"
        )
    return list(suffixes), content


def _stream(archive: Archive) -> Iterator[tuple[str, bytes]]:
    """Names and, of JSON alone, bytes."""
    if archive.kind == "zip":
        raise ShardsError(f"{archive.path}: a zip; expected a tar")
    for item in archive.stream(lambda name: split_name(name)[1] == JSON):
        if not isinstance(item, Skip):
            yield item[0].name, item[1] or b""


def _data(fields: Mapping[str, list[Entry]], suffix: str, data_of: Mapping[int, bytes]) -> bytes:
    entries = fields.get(suffix, ())
    if not entries:
        raise _NoLabel(f"no {suffix} beside {', '.join(map(printable, fields))}")
    if len(entries) > 1:
        raise _NoLabel(f"{len(entries)} files that are its {suffix}")
    if entries[0].position not in data_of:
        raise _NoLabel(f"its {suffix} has {entries[0].size} bytes")
    return data_of[entries[0].position]


def _parse_text(data: bytes) -> Label:
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise _NoLabel("its cls is not UTF-8") from error
    if not text:
        raise _NoLabel("its cls is empty")
    return _known(int(text), CLS) if _INTEGER.fullmatch(text) else text


def _parse_json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _NoLabel("its json cannot be read") from error


def _parse_value(content: Any, field: str) -> Label:
    value = _lookup(content, field)
    if isinstance(value, bool) or not isinstance(value, int | str):
        told = "there is none" if value is None else f"it is {printable(repr(value)[:40])}"
        raise _NoLabel(f"json field {field!r}: {told}")
    if isinstance(value, str):
        if not value.strip():
            raise _NoLabel(f"json field {field!r} is empty")
        return value.strip()
    return _known(value, field)


def _known(number: int, field: str) -> int:
    """A class's number; a negative one stands for none, as in label_12k of ImageNet-22k."""
    if number < 0:
        raise _NoLabel(f"{field} is {number}")
    return number


def _lookup(content: Any, field: str) -> Any:
    """A field by its name, or by names with dots between."""
    if isinstance(content, Mapping):
        if field in content:
            return content[field]
        first, dot, rest = field.partition(".")
        if dot and first in content:
            return _lookup(content[first], rest)
    return None


def _has(content: Any, field: str) -> bool:
    return _lookup(content, field) is not None


def _scalars(content: Mapping[str, Any]) -> list[str]:
    """Fields that may be labels."""
    return [
        name
        for name, value in content.items()
        if isinstance(value, int | str) and not isinstance(value, bool)
    ]


def _likely(content: Mapping[str, Any]) -> str:
    """The field that is most likely the label."""
    fields = _scalars(content)
    synsets = [name for name in fields if is_synset_id(str(content[name]))]
    usual = [name for name in ("label", "class_id", "class", "class_name") if name in fields]
    return next(iter([*synsets, *usual, *fields]))


def _synset_of(key: str) -> str:
    name = re.split("[_/]", key.rpartition("/")[2])[0]
    if not is_synset_id(name):
        raise _NoLabel("its key does not begin with a synset id, as in n02084071_7")
    return name


__all__: Sequence[str] = (
    "WebDatasetConfig",
    "WebDatasetReader",
    "WebdatasetImages",
    "split_name",
)
