"""Parquet files with a column of images and columns of labels, as Hugging Face has them.

```
data/train-00000-of-00010.parquet
  image         bytes, or a struct of `bytes` and `path`
  fine_label    integers (whose names stand in the file's metadata, where there are any) or names
  coarse_label
```
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow_datasets as tfds

from fine2coarse.archives.archives import Skip
from fine2coarse.datasets.shard_files import SUFFIXES, ShardFile, ShardsError
from fine2coarse.datasets.shard_labels import LabelColumn, LabelRow
from fine2coarse.datasets.shard_scan import NO_IMAGE, NO_LABEL, ShardScan
from fine2coarse.datasets.sharded import ShardedBuilder, ShardedConfig
from fine2coarse.errors import Fine2CoarseError
from fine2coarse.nearest import unknown

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_HUGGINGFACE = b"huggingface"
_USUAL_IMAGES = ("image", "img", "jpg", "png", "webp")
_USUAL_LABELS = ("label", "labels", "cls")
_BATCH_ROWS = 64
_PIECE_BYTES = 512  # of the images of a row group, to notice changes by


@dataclasses.dataclass(kw_only=True, eq=False)
class ParquetConfig(ShardedConfig):
    """Where the files lie, and what their columns are.

    Attributes:
      image_column: of the images; the only one that can be where empty.
      label_columns: of the labels, finest first; the only one with classes, or `label`, where
        empty.
      id_column: of what is unique among a split's images, as `image.path` may be; file and row
        where empty.
    """

    image_column: str = ""
    label_columns: tuple[str, ...] = ()
    id_column: str = ""

    def reader(self) -> ParquetReader:
        """What reads the files, as far as it was given."""
        return ParquetReader(self.image_column, tuple(self.label_columns), self.id_column)


class ParquetImages(ShardedBuilder):
    """Images in Parquet files."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIG_CLASS = ParquetConfig
    REPEATED_HINT = "name another id_column, or none, for file and row as ids"


@dataclasses.dataclass(frozen=True)
class ParquetReader:
    """Reads Parquet files.

    Attributes:
      image_column: see `ParquetConfig`.
      label_columns: see `ParquetConfig`.
      id_column: see `ParquetConfig`.
    """

    image_column: str = ""
    label_columns: tuple[str, ...] = ()
    id_column: str = ""
    what = "Parquet files"
    suffixes = SUFFIXES["parquet"]

    def settled(self, shard: ShardFile) -> ParquetReader:
        """With the columns of images and labels.

        Raises:
          ShardsError: where there is no such column, or it is not certain which is meant.
        """
        try:
            with _opened(shard) as file:
                schema = file.schema_arrow
        except _Unreadable as error:
            raise ShardsError(f"{shard.path}: {error}") from error
        features = _features(schema)
        image = self.image_column or _image_column(schema, features, shard)
        labels = self.label_columns or _label_columns(schema, features, shard)
        found = ParquetReader(image, labels, self.id_column)
        problem = found._problem(schema)
        if problem:
            raise ShardsError(f"{shard.path}: {problem}")
        return found

    def scan(self, shard: ShardFile) -> ShardScan:
        """Reads the columns of labels and ids."""
        try:
            with _opened(shard) as file:
                problem = self._problem(file.schema_arrow)
                return ShardScan.failed(problem) if problem else self._scan(shard, file)
        except _Unreadable as error:
            return ShardScan.failed(str(error))

    def images(
        self, shard: ShardFile, scan: ShardScan, begin: int, end: int
    ) -> Iterator[tuple[int, bytes | Skip]]:
        """Images and their bytes, in the file's order.

        Raises:
          ShardsError: where the file is damaged.
        """
        try:
            with _opened(shard) as file:
                yield from self._images(file, scan, begin, end)
        except _Unreadable as error:
            raise ShardsError(f"{shard.path}: {error}; get it again") from error

    def _problem(self, schema: pa.Schema) -> str:
        """What the file lacks, in words; empty where it has all that is needed."""
        import pyarrow as pa

        for what, name in (
            ("image column", self.image_column),
            *(("label column", name) for name in self.label_columns),
            *((("id column", self.id_column),) if self.id_column else ()),
        ):
            if _field(schema, name) is None:
                return unknown(what, name, schema.names)
        image = _field(schema, self.image_column)
        if not _holds_images(image):
            return (
                f"column {self.image_column!r} is of type {image.type}; expected bytes, or a "
                "struct of `bytes` and `path`"
            )
        for name in self.label_columns:
            kind = _field(schema, name).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not (pa.types.is_integer(kind) or _is_text(kind)):
                return f"column {name!r} is of type {kind}; expected integers or names"
        if len(set(self.label_columns)) != len(self.label_columns):
            return f"label columns repeat: {list(self.label_columns)}"
        return ""

    def _scan(self, shard: ShardFile, file: pq.ParquetFile) -> ShardScan:
        features = _features(file.schema_arrow)
        names = [*self.label_columns, *([self.id_column] if self.id_column else [])]
        total = hashlib.sha256(_footer(shard))
        keys, positions, rows, skips = [], [], [], []
        row_of: dict[LabelRow, int] = {}
        sizes: list[np.ndarray] = []
        first = 0
        starts = []
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            table = file.read_row_group(number, columns=names, use_threads=False)
            columns = [_values(table, name) for name in names]
            for offset, values in enumerate(zip(*columns, strict=True)):
                row = values[: len(self.label_columns)]
                problem = _label_problem(self.label_columns, row)
                if problem:
                    name = f"{shard.name}/{first + offset:06d}"
                    skips.append(Skip(name, NO_LABEL, problem))
                    continue
                rows.append(row_of.setdefault(row, len(row_of)))
                positions.append(first + offset)
                keys.append(str(values[-1]).encode() if self.id_column and values[-1] else b"")
            total.update(repr(columns).encode())
            total.update(_piece(shard, group, self.image_column))
            starts.append((first, len(positions)))
            num_bytes = _num_bytes(group, self.image_column)
            sizes.append(np.full(group.num_rows, num_bytes // max(1, group.num_rows), np.int64))
            first += group.num_rows
        kept = np.asarray(positions, np.int64)
        all_sizes = np.concatenate(sizes) if sizes else np.zeros(0, np.int64)
        return ShardScan(
            keys=np.asarray(keys, np.bytes_),
            positions=kept,
            sizes=all_sizes[kept],
            rows=np.asarray(rows, np.int32),
            cuts=np.asarray([end for _, end in starts[:-1]], np.int64),
            label_rows=tuple(row_of),
            columns=tuple(
                LabelColumn(name, _classes(features, name)) for name in self.label_columns
            ),
            skips=tuple(skips),
            digest=total.hexdigest(),
        )

    def _images(
        self, file: pq.ParquetFile, scan: ShardScan, begin: int, end: int
    ) -> Iterator[tuple[int, bytes | Skip]]:
        number_of = {int(scan.positions[n]): n for n in range(begin, end)}
        if not number_of:
            return
        low, high = min(number_of), max(number_of)
        first = 0
        for group in range(file.num_row_groups):
            num_rows = file.metadata.row_group(group).num_rows
            if first <= high and first + num_rows > low:
                position = first
                for batch in file.iter_batches(
                    batch_size=_BATCH_ROWS,
                    row_groups=[group],
                    columns=[self.image_column],
                    use_threads=False,
                ):
                    for value in batch.column(0):
                        if position in number_of:
                            yield number_of[position], _image(value.as_py())
                        position += 1
            first += num_rows


class _Unreadable(Fine2CoarseError):
    """A file that is not whole, or no Parquet file."""


@contextlib.contextmanager
def _opened(shard: ShardFile) -> Iterator[pq.ParquetFile]:
    """A Parquet file, whose pages are compared with their checksums where they have some.

    Raises:
      _Unreadable: what is wrong with it, in words.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(shard.path, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        raise _Unreadable(f"cut off, damaged or no Parquet file ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def _features(schema: pa.Schema) -> Mapping[str, Any]:
    """Hugging Face's description of the columns; empty where there is none."""
    text = (schema.metadata or {}).get(_HUGGINGFACE)
    if text is None:
        return {}
    try:
        features = json.loads(text)["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, Mapping) else {}


def _kind(features: Mapping[str, Any], name: str) -> str:
    feature = features.get(name)
    return str(feature.get("_type", "")) if isinstance(feature, Mapping) else ""


def _classes(features: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """Names of a column's classes; None where they are not known."""
    if _kind(features, name) != "ClassLabel":
        return None
    names = features[name].get("names")
    return tuple(map(str, names)) if isinstance(names, Sequence) and names else None


def _image_column(schema: pa.Schema, features: Mapping[str, Any], shard: ShardFile) -> str:
    marked = [name for name in schema.names if _kind(features, name) == "Image"]
    able = [field.name for field in schema if _holds_images(field)]
    usual = [name for name in able if name.lower() in _USUAL_IMAGES]
    for found in (marked, usual, able):
        if len(found) == 1:
            return found[0]
    told = f"several columns could be the images: {able}" if able else "no column of images"
    raise ShardsError(
        f"{shard.path}: {told}; name it by --config.dataset.options.image_column=...; the columns "
        f"are {_described(schema)}"
    )


def _label_columns(
    schema: pa.Schema, features: Mapping[str, Any], shard: ShardFile
) -> tuple[str, ...]:
    with_classes = [name for name in schema.names if _kind(features, name) == "ClassLabel"]
    usual = [name for name in schema.names if name.lower() in _USUAL_LABELS]
    found = with_classes or usual
    if len(found) == 1:
        return (found[0],)
    if with_classes:
        told = ", ".join(
            f"{name} ({len(_classes(features, name) or ())} classes)" for name in found
        )
        told = f"several columns are class labels: {told}; name those that count, finest first"
    else:
        told = "no column is called `label`; name the columns of labels, finest first"
    names = ", ".join(repr(name) for name in found or ("species", "genus"))
    raise ShardsError(
        f'{shard.path}: {told}: --config.dataset.options.label_columns="({names},)"; the columns '
        f"are {_described(schema)}"
    )


def _described(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} ({str(field.type)[:40]})" for field in schema)


def _holds_images(field: pa.Field) -> bool:
    import pyarrow as pa

    kind = field.type
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _is_binary(kind.field(index).type)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return (
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _field(schema: pa.Schema, name: str) -> pa.Field | None:
    """A column, or `column.field` of a struct; None where there is none."""
    import pyarrow as pa

    if name in schema.names:
        return schema.field(name)
    first, _, rest = name.partition(".")
    if rest and first in schema.names and pa.types.is_struct(schema.field(first).type):
        return _field(pa.schema(list(schema.field(first).type)), rest)
    return None


def _values(table: pa.Table, name: str) -> list[Any]:
    import pyarrow.compute as pc

    if name in table.column_names:
        return table.column(name).to_pylist()
    first, *rest = name.split(".")
    column = table.column(first)
    for part in rest:
        column = pc.struct_field(column, part)
    return column.to_pylist()


def _label_problem(names: Sequence[str], row: Sequence[Any]) -> str:
    """Why a row has no label; empty where it has."""
    for name, value in zip(names, row):
        if value is None or (isinstance(value, str) and not value.strip()):
            return f"{name} is empty"
        if isinstance(value, int) and value < 0:  # as in Hugging Face's test splits
            return f"{name} is {value}"
    return ""


def _image(value: Any) -> bytes | Skip:
    """An image's bytes, or why there are none."""
    if isinstance(value, Mapping):
        if value.get("bytes") is None and value.get("path"):
            return Skip("", NO_IMAGE, f"the file names {value['path']} and does not hold it")
        value = value.get("bytes")
    return Skip("", NO_IMAGE, "the image is empty") if value is None else value


def _image_chunks(group: pq.RowGroupMetaData, image_column: str) -> list[pq.ColumnChunkMetaData]:
    columns = [group.column(number) for number in range(group.num_columns)]
    return [
        column
        for column in columns
        if column.path_in_schema == image_column
        or column.path_in_schema.startswith(f"{image_column}.")
    ]


def _num_bytes(group: pq.RowGroupMetaData, image_column: str) -> int:
    return sum(chunk.total_compressed_size for chunk in _image_chunks(group, image_column))


def _piece(shard: ShardFile, group: pq.RowGroupMetaData, image_column: str) -> bytes:
    """Some bytes from the middle of the images of a row group."""
    found = b""
    with pathlib.Path(shard.path).open("rb") as file:
        for chunk in _image_chunks(group, image_column):
            begin = chunk.data_page_offset
            if chunk.dictionary_page_offset:
                begin = min(begin, chunk.dictionary_page_offset)
            file.seek(begin + max(0, chunk.total_compressed_size - _PIECE_BYTES) // 2)
            found += file.read(_PIECE_BYTES)
    return found


def _footer(shard: ShardFile) -> bytes:
    """The metadata at the end of the file, as bytes."""
    with pathlib.Path(shard.path).open("rb") as file:
        file.seek(-8, 2)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, 2)
        return file.read(length)
