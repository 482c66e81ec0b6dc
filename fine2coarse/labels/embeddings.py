"""Embeddings on disk: a memory-mapped .npy whose rows are found by image id, never by position."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fine2coarse.labels.space import LabelSpaceError

_CHECK_ROWS = 65_536


@dataclasses.dataclass(frozen=True, eq=False)
class Embeddings:
    """A vector for each image.

    Attributes:
      vectors: float [N, d], perhaps memory-mapped.
      image_ids: N unique ids, the rows' own.
      dataset_fingerprint: of the prepared images; empty where unknown (a file of one's own).
      source: how they were made, JSON-able.
    """

    vectors: np.ndarray
    image_ids: tuple[str, ...]
    dataset_fingerprint: str = ""
    source: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks shape, dtype and ids."""
        if self.vectors.ndim != 2 or self.vectors.dtype.kind != "f" or not self.vectors.shape[1]:
            raise LabelSpaceError(
                f"embeddings must be float [images, dimensions], got {self.vectors.dtype} "
                f"{self.vectors.shape}"
            )
        if len(self.image_ids) != len(self.vectors):
            raise LabelSpaceError(f"{len(self.vectors)} rows, but {len(self.image_ids)} image ids")
        if len(self._row_of) != len(self.image_ids):
            raise LabelSpaceError(
                f"{len(self.image_ids) - len(self._row_of)} image ids of the embeddings repeat"
            )

    @functools.cached_property
    def _row_of(self) -> Mapping[str, int]:
        return {image_id: row for row, image_id in enumerate(self.image_ids)}

    def rows_for(self, image_ids: Sequence[str], dataset_fingerprint: str = "") -> np.ndarray:
        """The row of each image: int64 [len(image_ids)], in their order.

        Args:
          image_ids: whose rows to find.
          dataset_fingerprint: of the images, to be compared with the embeddings' own.

        Raises:
          LabelSpaceError: where the embeddings belong to other data, or images are missing.
        """
        mine = self.dataset_fingerprint
        if mine and dataset_fingerprint and mine != dataset_fingerprint:
            raise LabelSpaceError(
                f"the embeddings belong to images {mine[:12]}, but these are "
                f"{dataset_fingerprint[:12]}; embed these images"
            )
        rows = np.asarray([self._row_of.get(image_id, -1) for image_id in image_ids], np.int64)
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            raise LabelSpaceError(
                f"{len(missing)} of {len(rows)} images have no embedding, such as "
                f"{[image_ids[index] for index in missing[:3]]}; the {len(self.image_ids)} "
                f"embeddings have ids such as {list(self.image_ids[:3])}"
            )
        return rows

    def check_finite(self, rows: np.ndarray) -> None:
        """Raises LabelSpaceError where one of these rows holds a NaN or an infinity."""
        bad: list[int] = []
        for start in range(0, len(rows), _CHECK_ROWS):
            block = rows[start : start + _CHECK_ROWS]
            bad.extend(block[~np.isfinite(self.vectors[block]).all(axis=1)].tolist())
        if bad:
            raise LabelSpaceError(
                f"{len(bad)} of {len(rows)} embeddings hold NaN or infinity, such as those of "
                f"{[self.image_ids[row] for row in bad[:3]]}"
            )

    @classmethod
    def load(cls, path: str | os.PathLike, ids_path: str | os.PathLike = "") -> Embeddings:
        """Opens what `launch/embed.py` wrote, or a .npy of one's own with a file of ids.

        Args:
          path: a .npy file; it is memory-mapped.
          ids_path: text, an image id a line, in the rows' order; `path`.ids.txt where empty.

        Raises:
          LabelSpaceError: where a file is missing, no array, or holds a pickle.
        """
        path = pathlib.Path(path)
        ids_file = pathlib.Path(ids_path) if ids_path else ids_file_of(path)
        try:
            vectors = np.load(path, mmap_mode="r", allow_pickle=False)
            ids = ids_file.read_text(encoding="utf-8").splitlines()
            meta_file = meta_file_of(path)
            meta = json.loads(meta_file.read_text(encoding="utf-8")) if meta_file.exists() else {}
        except (OSError, ValueError, EOFError) as error:
            raise LabelSpaceError(
                f"{path}: expected a .npy of floats and its image ids, one a line, in {ids_file}: "
                f"{error}"
            ) from error
        source = meta.get("source", {"kind": "file", "path": str(path)})
        return cls(vectors, tuple(ids), meta.get("dataset_fingerprint", ""), source)


def ids_file_of(path: pathlib.Path) -> pathlib.Path:
    """Where the image ids of an embeddings file lie: text, one a line, in the rows' order."""
    return path.with_name(path.name + ".ids.txt")


def meta_file_of(path: pathlib.Path) -> pathlib.Path:
    """Where it says what the embeddings belong to and how they were made: JSON."""
    return path.with_name(path.name + ".json")
