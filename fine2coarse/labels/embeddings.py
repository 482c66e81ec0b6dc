"""Embeddings on disk: a memory-mapped .npy whose rows are found by image id, never by position."""

from __future__ import annotations

import codecs
import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fine2coarse.image_ids import ImageIds
from fine2coarse.labels.space import UNREADABLE, LabelSpaceError, as_image_ids
from fine2coarse.taxonomy.text_tables import normalized, parse_json, read_lines

# Beyond this the squares that k-means and PCA add up leave float32: 1e24, times 4 for a distance,
# times 1e4 dimensions, times 1e8 images is 4e36, below float32's 3.4e38.
LARGEST_VALUE = 1e12
# Where no value is larger than this, squares of differences vanish in float32, and all rows look
# the same.
LEAST_SCALE = 1e-12

_CHECK_ROWS = 16_384
_ID_BYTES = 1 << 24  # of a file of ids, read at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Embeddings:
    """A vector for each image.

    Attributes:
      vectors: float [N, d], perhaps memory-mapped.
      image_ids: N unique ids, the rows' own; any sequence of str is taken, and kept as `ImageIds`.
      dataset_fingerprint: of the prepared images; empty where unknown (a user's own file).
      source: how they were made, JSON-able.
      path: the file that they were loaded from; empty where they were not.
    """

    vectors: np.ndarray
    image_ids: Sequence[str]
    dataset_fingerprint: str = ""
    source: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    path: str = ""

    def __post_init__(self) -> None:
        """Checks shape, dtype and ids."""
        object.__setattr__(self, "image_ids", as_image_ids(self.image_ids))
        if self.vectors.ndim != 2 or self.vectors.dtype.kind != "f" or not self.vectors.shape[1]:
            raise LabelSpaceError(
                f"{self._called}embeddings must be float [images, dimensions], got "
                f"{self.vectors.dtype} {self.vectors.shape}; save them again in NumPy, as in "
                "np.save(file, vectors.reshape(len(vectors), -1).astype('float32'))"
            )
        if len(self.image_ids) != len(self.vectors):
            raise LabelSpaceError(
                f"{self._called}{len(self.vectors)} rows, but {len(self.image_ids)} image ids"
            )
        repeated = self.image_ids.duplicates()
        if repeated:
            raise LabelSpaceError(
                f"{self._called}{len(repeated)} image ids of the embeddings repeat, such as "
                f"{repeated[0]!r}"
            )

    @property
    def _called(self) -> str:
        """How an error begins."""
        return f"{self.path}: " if self.path else ""

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
        image_ids = as_image_ids(image_ids)
        rows = self.image_ids.rows_of(image_ids)
        if (rows < 0).any():
            rows = self._found_by_form(image_ids, rows)
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            raise LabelSpaceError(
                f"{len(missing)} of {len(rows)} images have no embedding, such as "
                f"{[image_ids[index] for index in missing[:3]]}; the {len(self.image_ids)} "
                f"embeddings have ids such as {list(self.image_ids[:3])}"
            )
        return rows

    def _found_by_form(self, image_ids: ImageIds, rows: np.ndarray) -> np.ndarray:
        """Rows also of ids that differ in Unicode form or blank ends only, as macOS makes them.

        A form that two images, or two rows, have in common is no row of either.
        """
        ours, theirs = _forms(self.image_ids), _forms(image_ids)
        found = ours.rows_of(theirs)
        for forms in (ours, theirs):
            shared = forms.duplicates()
            if shared:
                found[ImageIds.of(shared).rows_of(theirs) >= 0] = -1
        return np.where(rows < 0, found, rows)

    def check_values(self, rows: np.ndarray, *, any_scale: bool = False) -> None:
        """Checks that vectors can be computed with in float32; reads them a block at a time.

        Args:
          rows: int64 [n], which.
          any_scale: only directions will be used (see `unit_rows`), so any finite values will do.

        Raises:
          LabelSpaceError: naming file, row, image and value of what is not finite or too large
            to be squared; or where all values are too small.
        """
        most = np.inf if any_scale else LARGEST_VALUE
        bad: list[int] = []
        scale = 0.0
        for start in range(0, len(rows), _CHECK_ROWS):
            block = rows[start : start + _CHECK_ROWS]
            sizes = largest_values(self.vectors[block])
            bad.extend(block[~((sizes <= most) & np.isfinite(sizes))].tolist())
            scale = max(scale, float(sizes.max()))
        if bad:
            beyond = "" if any_scale else f" or values beyond {LARGEST_VALUE:g}"
            raise LabelSpaceError(
                f"{self._called}{len(bad)} of {len(rows)} embeddings hold NaN or infinity{beyond}, "
                f"the first {self._told_of_value(bad[0])}"
            )
        if 0 < scale < LEAST_SCALE and not any_scale:
            raise LabelSpaceError(
                f"{self._called}no value of the embeddings is larger than {scale:.3g}, and squares "
                f"of such vanish in float32; {self._scaling}"
            )

    def _told_of_value(self, row: int) -> str:
        """The value in a row that cannot be computed with, where it is, and what to do."""
        vector = np.asarray(self.vectors[row], np.float64)
        is_finite = np.isfinite(vector)
        column = int(np.where(is_finite, np.abs(vector), np.inf).argmax())
        remedy = (
            f"its square leaves float32; {self._scaling}"
            if is_finite.all()
            else "make them again in float32 (float16 ends at 65,504), or leave these images out"
        )
        return (
            f"{vector[column]:g} in row {row}, column {column}, of {self.image_ids[row]}: {remedy}"
        )

    @property
    def _scaling(self) -> str:
        """What to do with vectors that are finite, but too large or too small."""
        path = self.path or "FILE.npy"
        return (
            "cluster them with spherical=True, or scale every vector to length one: "
            f"fine2coarse embed with --npy={path} --l2, without --pca"
        )

    @classmethod
    def load(cls, path: str | os.PathLike, ids_path: str | os.PathLike = "") -> Embeddings:
        """Opens what `fine2coarse embed` wrote, or a user's own .npy with a file of ids.

        Args:
          path: a .npy file; it is memory-mapped.
          ids_path: text, an image id a line, in the rows' order; `path`.ids.txt where empty.

        Raises:
          LabelSpaceError: where a file is missing, damaged, no array, or holds a pickle.
        """
        path = pathlib.Path(path)
        ids_file = pathlib.Path(ids_path) if ids_path else ids_file_of(path)
        try:
            vectors = _mapped(path)
            ids = _read_ids(ids_file)
            meta = _read_meta(meta_file_of(path))
        except UNREADABLE as error:
            raise LabelSpaceError(
                f"{path}: expected a .npy of floats and its image ids, one a line, in {ids_file}: "
                f"{' '.join(str(error).split())}"
            ) from error
        num_ids = len(ids)
        while num_ids > len(vectors) and not ids[num_ids - 1].strip():
            num_ids -= 1  # blank lines at the end, as editors and spreadsheets leave them
        ids = ids if num_ids == len(ids) else ids[:num_ids]
        source = meta.get("source", {"kind": "file", "path": str(path)})
        return cls(vectors, ids, meta.get("dataset_fingerprint", ""), source, str(path))


def _forms(ids: ImageIds) -> ImageIds:
    """The ids without what tells apart two that look the same."""
    parts = [ImageIds.of(map(normalized, chunk)) for chunk in ids.chunks()]
    return ImageIds.concatenate(parts)


def _read_ids(path: pathlib.Path) -> ImageIds:
    """A file's lines, of which no list is made where there are millions in plain UTF-8."""
    if path.stat().st_size > _ID_BYTES:
        found = _read_plain_ids(path)
        if found is not None:
            return found
    return as_image_ids(read_lines(path.read_bytes(), str(path)))


def _read_plain_ids(path: pathlib.Path) -> ImageIds | None:
    """The lines of a file in UTF-8 with Unix's line ends; None of any other."""
    parts = []
    with path.open("rb") as file:
        while lines := file.readlines(_ID_BYTES):
            block = b"".join(lines)
            if not parts and block.startswith(codecs.BOM_UTF8):
                return None
            try:
                block.decode("utf-8")
            except UnicodeDecodeError:
                return None
            if b"\r" in block or b"\0" in block:
                return None
            parts.append(np.asarray([line.removesuffix(b"\n") for line in lines], np.bytes_))
    return ImageIds(np.concatenate(parts))


def largest_values(vectors: np.ndarray) -> np.ndarray:
    """The largest magnitude in each row: float64 [n] (or wider); NaN where a row holds one."""
    sizes = np.maximum(vectors.max(axis=1), -vectors.min(axis=1))
    return sizes.astype(np.result_type(vectors.dtype, np.float64))


def unit_rows(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scales rows to length one, whatever finite values they hold.

    Args:
      vectors: float [n, d]; may be overwritten.

    Returns:
      float32 [n, d], and bool [n]: which rows are zero, and were left so.
    """
    # float16 squares leave float16; wider types keep what leaves float32.
    wide = vectors.astype(np.result_type(vectors.dtype, np.float32), copy=False)
    # A power of two scales without rounding, so squares stay in range and ordinary rows the same.
    exponents = np.frexp(largest_values(wide))[1]
    limit = np.finfo(wide.dtype).maxexp - 2
    wide *= np.ldexp(wide.dtype.type(1), -np.clip(exponents, -limit, limit))[:, None]
    found = np.ascontiguousarray(wide, np.float32)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    is_zero = norms[:, 0] == 0
    found /= np.where(norms == 0, 1, norms)
    return found, is_zero


def _mapped(path: pathlib.Path) -> np.ndarray:
    """The array of a .npy, memory-mapped; the file holds nothing else."""
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(vectors, np.memmap):
        raise ValueError("it is an archive of arrays (.npz); save one of them with np.save")
    excess = path.stat().st_size - vectors.offset - vectors.nbytes
    if excess:
        raise ValueError(f"{excess:,} bytes follow the array; save it alone with np.save")
    return vectors


def _read_meta(path: pathlib.Path) -> Mapping[str, Any]:
    """What `fine2coarse embed` recorded with its vectors; empty for a user's own file."""
    if not path.exists():
        return {}
    meta = parse_json(path.read_bytes(), str(path))
    if not isinstance(meta, dict):
        raise LabelSpaceError(
            f"{path}: expected what fine2coarse embed wrote; remove it or embed again"
        )
    return meta


def ids_file_of(path: pathlib.Path) -> pathlib.Path:
    """Where the image ids of an embeddings file lie: text, one a line, in the rows' order."""
    return path.with_name(path.name + ".ids.txt")


def meta_file_of(path: pathlib.Path) -> pathlib.Path:
    """Where it says what the embeddings belong to and how they were made: JSON."""
    return path.with_name(path.name + ".json")
