"""The label space: ordered classes and a table that labels leaves or images with them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np

from fine2coarse.errors import UsageError
from fine2coarse.files import read_json, write_atomic, write_json
from fine2coarse.image_ids import ImageIds
from fine2coarse.labels.json_strings import json_pieces, read_json_strings

KEYED_BY = ("leaf", "image")
# What NumPy, zip and JSON raise on a file that is damaged or another one than it is taken for.
UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
_STRING_FIELDS = ("class_ids", "class_names", "image_ids")
_META_FIELDS = ("keyed_by", "name", "dataset_fingerprint", "source")


class LabelSpaceError(UsageError):
    """A label space that is malformed, or belongs to other data."""


@dataclasses.dataclass(frozen=True, eq=False)
class LabelSpace:
    """Classes, and which of them each leaf (or each image) has.

    Attributes:
      class_ids: unique ids, in the order of the integer classes: a tuple, or `ImageIds` where
        every image is a class.
      class_names: display names, same order.
      table: int32 [rows, M]; the classes of each row, padded at the end with -1. M = 1 where
        every row has one class. A row of -1 alone is not covered: its images are left out.
      keyed_by: 'leaf' (row i is the dataset's label i) or 'image' (row i is `image_ids[i]`).
      image_ids: ids of the rows where `keyed_by='image'`, else empty; any sequence of str is
        taken, and kept as `ImageIds`.
      name: short name for tables and pictures, e.g. `genus` or `random-aligned-32`.
      dataset_fingerprint: of the taxonomy (keyed by leaf) or the prepared images (by image)
        that the table belongs to.
      source: how the space was made, JSON-able; not part of the fingerprint.
    """

    class_ids: Sequence[str]
    class_names: Sequence[str]
    table: np.ndarray
    keyed_by: str = "leaf"
    image_ids: Sequence[str] = ()
    name: str = "labels"
    dataset_fingerprint: str = ""
    source: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks shapes, ranges, padding and uniqueness."""
        if np.asarray(self.table).dtype.kind not in "iu":
            raise LabelSpaceError(f"table must be of integers, got {np.asarray(self.table).dtype}")
        table = np.ascontiguousarray(self.table, dtype=np.int32)
        table.setflags(write=False)
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "image_ids", as_image_ids(self.image_ids))
        if self.keyed_by not in KEYED_BY:
            raise LabelSpaceError(f"keyed_by is one of {KEYED_BY}, got {self.keyed_by!r}")
        if table.ndim != 2 or table.shape[1] < 1:
            raise LabelSpaceError(f"table must be int [rows, M >= 1], got shape {table.shape}")
        if len(self.class_ids) != len(self.class_names) or not self.class_ids:
            raise LabelSpaceError(
                f"{len(self.class_ids)} class ids and {len(self.class_names)} class names; "
                "expected as many of each, and at least one"
            )
        if _repeat(self.class_ids):
            raise LabelSpaceError("class ids repeat")
        if table.size and (table.min() < -1 or table.max() >= self.num_classes):
            raise LabelSpaceError(
                f"table holds {table.min()}..{table.max()}; expected -1..{self.num_classes - 1}"
            )
        if np.any((table[:, :-1] < 0) & (table[:, 1:] >= 0)):
            raise LabelSpaceError("-1 may only pad the end of a row")
        rows = len(self.image_ids)
        if self.keyed_by == "image" and (rows != len(table) or _repeat(self.image_ids)):
            raise LabelSpaceError(f"{rows} image ids for {len(table)} rows, or ids that repeat")

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_ids)

    @property
    def is_multi_label(self) -> bool:
        """Whether some row has more than one class."""
        return bool(self.table.shape[1] > 1 and np.any(self.table[:, 1] >= 0))

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over classes, table, keys and the data it belongs to: 64 hexadecimal digits."""
        digest = hashlib.sha256(b"[")
        for piece in json_pieces(self.class_ids, ensure_ascii=True):
            digest.update(piece)
        digest.update(f", {json.dumps(self.keyed_by)}, ".encode())
        for piece in json_pieces(self.image_ids, ensure_ascii=True):
            digest.update(piece)
        rest = json.dumps([self.table.shape, self.dataset_fingerprint])
        digest.update(f", {rest[1:]}".encode())
        digest.update(np.ascontiguousarray(self.table, "<i4"))
        return digest.hexdigest()

    def lookup(self, leaf_labels: np.ndarray, image_ids: Sequence[str]) -> np.ndarray:
        """Labels images.

        Args:
          leaf_labels: int [N], the dataset's own labels.
          image_ids: N ids (str or UTF-8 bytes); quickest are `ImageIds`, and of these the ones
            that this space was made of, or rows of them.

        Returns:
          int32 [N, M], padded with -1; a row of -1 alone for an image that is not covered.
        """
        if self.keyed_by == "leaf":
            return self.table[np.asarray(leaf_labels)]
        if image_ids is self.image_ids:
            return self.table.copy()
        rows = self.image_ids.rows_of(as_image_ids(image_ids))
        found = np.full((len(rows), self.table.shape[1]), -1, np.int32)
        is_known = rows >= 0
        if is_known.all():
            np.take(self.table, rows, axis=0, out=found)
        else:
            found[is_known] = self.table[rows[is_known]]
        return found

    def check_belongs_to(self, dataset_fingerprint: str, what: str) -> None:
        """Raises LabelSpaceError where this space was made for other data than `what`."""
        if self.dataset_fingerprint and self.dataset_fingerprint != dataset_fingerprint:
            raise LabelSpaceError(
                f"label space {self.name!r} belongs to data {self.dataset_fingerprint[:12]}, but "
                f"{what} is {dataset_fingerprint[:12]}; make the label space again for this data"
            )

    def save(self, path: str | os.PathLike) -> None:
        """Writes `path` (.npz, arrays only) and beside it `path`.json, each whole or not at all."""
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        meta = {field: getattr(self, field) for field in _META_FIELDS}
        meta |= {"source": dict(self.source), "fingerprint": self.fingerprint}
        meta |= {"num_classes": self.num_classes, "num_rows": len(self.table)}
        write_atomic(path, self._write_arrays)
        write_json(path.with_name(path.name + ".json"), meta)

    def _write_arrays(self, file: IO[bytes]) -> None:
        """As `numpy.savez_compressed` writes table and strings (as JSON), of which no copy is made.

        NumPy's own string arrays would pad each string to the longest, by 4 bytes a character.
        """
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with archive.open("table.npy", "w", force_zip64=True) as part:
                np.lib.format.write_array(part, self.table, allow_pickle=False)
            for field in _STRING_FIELDS:
                strings = getattr(self, field)
                size = sum(map(len, json_pieces(strings, ensure_ascii=False)))
                header = {"descr": "|u1", "fortran_order": False, "shape": (size,)}
                with archive.open(f"{field}.npy", "w", force_zip64=True) as part:
                    np.lib.format.write_array_header_1_0(part, header)
                    for piece in json_pieces(strings, ensure_ascii=False):
                        part.write(piece)

    @classmethod
    def load(cls, path: str | os.PathLike) -> LabelSpace:
        """Reads what `save` wrote, checking the fingerprint.

        Raises:
          LabelSpaceError: where the file is not a label space, holds a pickle or was changed.
        """
        path = pathlib.Path(path)
        try:
            meta = read_json(path.with_name(path.name + ".json"))
            with np.load(path, allow_pickle=False) as arrays:
                space = cls(
                    table=arrays["table"],
                    **{field: read_json_strings(arrays[field]) for field in _STRING_FIELDS},
                    **{field: meta[field] for field in _META_FIELDS},
                )
            fingerprint = meta["fingerprint"]
        except UNREADABLE as error:
            raise LabelSpaceError(
                f"{path}: not a label space written by LabelSpace.save (with its .json): {error}"
            ) from error
        if space.fingerprint != fingerprint:
            raise LabelSpaceError(f"{path}: content does not match the fingerprint in its .json")
        return space


def as_image_ids(ids: Sequence[str]) -> ImageIds:
    """The ids as `ImageIds`.

    Raises:
      LabelSpaceError: where one cannot be kept so.
    """
    try:
        return ImageIds.of(ids)
    except ValueError as error:  # a NUL byte, or half of a surrogate pair
        raise LabelSpaceError(f"image ids: {error}") from error


def _repeat(strings: Sequence[str]) -> bool:
    """Whether one stands there twice."""
    if isinstance(strings, ImageIds):
        return bool(strings.duplicates())
    return len(set(strings)) != len(strings)
