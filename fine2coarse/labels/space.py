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
from typing import Any

import numpy as np

from fine2coarse.errors import UsageError
from fine2coarse.files import read_json, write_atomic, write_json

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
      class_ids: unique ids, in the order of the integer classes.
      class_names: display names, same order.
      table: int32 [rows, M]; the classes of each row, padded at the end with -1. M = 1 where
        every row has one class. A row of -1 alone is not covered: its images are left out.
      keyed_by: 'leaf' (row i is the dataset's label i) or 'image' (row i is `image_ids[i]`).
      image_ids: ids of the rows where `keyed_by='image'`, else empty.
      name: short name for tables and pictures, e.g. `genus` or `random-aligned-32`.
      dataset_fingerprint: of the taxonomy (keyed by leaf) or the prepared images (by image)
        that the table belongs to.
      source: how the space was made, JSON-able; not part of the fingerprint.
    """

    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    table: np.ndarray
    keyed_by: str = "leaf"
    image_ids: tuple[str, ...] = ()
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
        if self.keyed_by not in KEYED_BY:
            raise LabelSpaceError(f"keyed_by is one of {KEYED_BY}, got {self.keyed_by!r}")
        if table.ndim != 2 or table.shape[1] < 1:
            raise LabelSpaceError(f"table must be int [rows, M >= 1], got shape {table.shape}")
        if len(self.class_ids) != len(self.class_names) or not self.class_ids:
            raise LabelSpaceError(
                f"{len(self.class_ids)} class ids and {len(self.class_names)} class names; "
                "expected as many of each, and at least one"
            )
        if len(set(self.class_ids)) != len(self.class_ids):
            raise LabelSpaceError("class ids repeat")
        if table.size and (table.min() < -1 or table.max() >= self.num_classes):
            raise LabelSpaceError(
                f"table holds {table.min()}..{table.max()}; expected -1..{self.num_classes - 1}"
            )
        if np.any((table[:, :-1] < 0) & (table[:, 1:] >= 0)):
            raise LabelSpaceError("-1 may only pad the end of a row")
        rows = len(self.image_ids)
        if self.keyed_by == "image" and (rows != len(table) or len(set(self.image_ids)) != rows):
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
        digest = hashlib.sha256()
        head = [self.class_ids, self.keyed_by, self.image_ids, self.table.shape]
        digest.update(json.dumps([*head, self.dataset_fingerprint], default=list).encode())
        digest.update(self.table.astype("<i4").tobytes())
        return digest.hexdigest()

    @functools.cached_property
    def _image_row(self) -> Mapping[str, int]:
        return {image_id: row for row, image_id in enumerate(self.image_ids)}

    def lookup(self, leaf_labels: np.ndarray, image_ids: Sequence[str]) -> np.ndarray:
        """Labels images.

        Args:
          leaf_labels: int [N], the dataset's own labels.
          image_ids: N ids (str or UTF-8 bytes).

        Returns:
          int32 [N, M], padded with -1; a row of -1 alone for an image that is not covered.
        """
        if self.keyed_by == "leaf":
            return self.table[np.asarray(leaf_labels, np.int64)]
        keys = [key.decode() if isinstance(key, bytes) else str(key) for key in image_ids]
        rows = np.asarray([self._image_row.get(key, -1) for key in keys], np.int64)
        found = self.table[np.maximum(rows, 0)]
        return np.where(rows[:, None] >= 0, found, np.int32(-1))

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
        strings = {field: _packed(getattr(self, field)) for field in _STRING_FIELDS}
        write_atomic(path, lambda file: np.savez_compressed(file, table=self.table, **strings))
        write_json(path.with_name(path.name + ".json"), meta)

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
                    **{field: _unpacked(arrays[field]) for field in _STRING_FIELDS},
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


def _packed(strings: Sequence[str]) -> np.ndarray:
    """Strings as JSON in bytes: NumPy's own string arrays pad each to the longest, by 4 bytes."""
    return np.frombuffer(json.dumps(strings, ensure_ascii=False).encode(), np.uint8)


def _unpacked(packed: np.ndarray) -> tuple[str, ...]:
    return tuple(map(str, json.loads(packed.tobytes().decode())))
