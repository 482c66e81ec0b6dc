"""Ids of millions of images as one array of fixed width, perhaps memory-mapped: no string an image.

A sequence of `str` like any other, whose rows are found by a hash of each id instead of a dict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np

_CHUNK = 1 << 18
# Multiplier and shift of SplitMix64's finaliser (Steele et al., OOPSLA 2014).
_MULTIPLIER, _SHIFT = np.uint64(0xBF58476D1CE4E5B9), np.uint64(31)


class ImageIds(Sequence[str]):
    """Ids of N images, in order.

    Args:
      encoded: bytes (NumPy kind 'S') [N], each id in UTF-8; may be memory-mapped, and is not
        copied.

    Raises:
      TypeError: where the array is of another kind.
    """

    def __init__(self, encoded: np.ndarray) -> None:
        if encoded.dtype.kind != "S" or encoded.ndim != 1:
            raise TypeError(f"expected bytes [N], got {encoded.dtype} {list(encoded.shape)}")
        self._encoded: np.ndarray | None = encoded
        self._taken_from: ImageIds | None = None  # of a subset; and which rows of that
        self._rows: np.ndarray | None = None
        self._parts: tuple[tuple[ImageIds, int], ...] = ()
        self._sorted: tuple[np.ndarray, np.ndarray] | None = None
        self._duplicates: tuple[str, ...] | None = None
        self._length = len(encoded)

    @classmethod
    def of(cls, ids: Iterable[str | bytes]) -> ImageIds:
        """The ids as they are where they are `ImageIds`, else encoded.

        Raises:
          ValueError: where an id holds a NUL byte, which arrays of fixed width cannot end in.
        """
        if isinstance(ids, ImageIds):
            return ids
        encoded = [key if isinstance(key, bytes) else str(key).encode() for key in ids]
        with_nul = [key for key in encoded if b"\0" in key]
        if with_nul:
            raise ValueError(f"image id {with_nul[0]!r} holds a NUL byte")
        return cls(np.asarray(encoded, np.bytes_) if encoded else np.zeros(0, "S1"))

    @classmethod
    def concatenate(cls, parts: Sequence[ImageIds]) -> ImageIds:
        """The ids of several, one after the other; they are not copied."""
        if len(parts) == 1:
            return parts[0]
        lengths = [len(part) for part in parts]
        joined = cls(np.zeros(0, "S1"))
        if parts:
            joined._encoded, joined._length = None, sum(lengths)  # put together when asked for
        starts = np.cumsum(lengths) - lengths
        joined._parts = tuple(zip(parts, map(int, starts)))
        return joined

    @property
    def encoded(self) -> np.ndarray:
        """Bytes (NumPy kind 'S') [N], in UTF-8."""
        if self._encoded is None:
            self._encoded = np.concatenate([np.zeros(0, "S1"), *self.blocks()])
        return self._encoded

    def subset(self, chosen: np.ndarray | slice) -> ImageIds:
        """The ids of some rows: int [M], bool [N] or a slice."""
        if isinstance(chosen, slice) and chosen.indices(len(self)) == (0, len(self), 1):
            return self
        found = ImageIds(np.zeros(0, "S1"))
        found._encoded = None  # gathered when asked for
        if isinstance(chosen, slice):
            rows = np.arange(*chosen.indices(len(self)))
            if self._encoded is not None:
                found._encoded = self._encoded[chosen]
        else:
            chosen = np.asarray(chosen)
            rows = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        rows = rows.astype(np.int32 if len(self) < 2**31 else np.int64)
        found._taken_from = self._root
        found._rows = rows if self._rows is None else self._rows[rows]
        found._length = len(rows)
        return found

    @property
    def _root(self) -> ImageIds:
        return self if self._taken_from is None else self._taken_from

    def blocks(self, size: int = 0) -> Iterator[np.ndarray]:
        """The encoded ids in arrays of at most `size` (0: 262,144); none of all of them is made."""
        size = size or _CHUNK
        if self._encoded is None and self._parts:
            for part, _ in self._parts:
                yield from part.blocks(size)
            return
        for begin in range(0, len(self), size):
            yield self._at(slice(begin, begin + size))

    def _at(self, rows: np.ndarray | slice) -> np.ndarray:
        """The encoded ids of some rows."""
        if self._encoded is not None:
            return self._encoded[rows]
        if not self._parts:
            return self._root._at(self._rows[rows])
        rows = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows
        owners = np.searchsorted([start for _, start in self._parts], rows, side="right") - 1
        pieces = [
            (owners == number, part._at(rows[owners == number] - start))
            for number, (part, start) in enumerate(self._parts)
        ]
        found = np.zeros(len(rows), np.result_type(*(piece.dtype for _, piece in pieces)))
        for places, piece in pieces:
            found[places] = piece
        return found

    def rows_of(self, ids: Iterable[str | bytes]) -> np.ndarray:
        """The row of each of some ids among these: int64 [M], -1 where it is not among them.

        Of an id that repeats here, one of its rows.
        """
        others = ImageIds.of(ids)
        if others is self:
            return np.arange(len(self), dtype=np.int64)
        for part, start in self._parts:
            if others is part:
                return np.arange(start, start + len(part), dtype=np.int64)
            if others._root is part._root:
                found = part._rows_of_relative(others)
                if (found >= 0).all():
                    return found + start
        if others._root is self._root:
            return self._rows_of_relative(others)
        return self._rows_by_hash(others)

    def _rows_of_relative(self, others: ImageIds) -> np.ndarray:
        """As `rows_of`, where both are rows of the same ids, which are unique."""
        wanted = others._rows
        if self._rows is None:
            return wanted.astype(np.int64)
        place = np.full(len(self._root), -1, np.int64)
        place[self._rows] = np.arange(len(self))
        return place if wanted is None else place[wanted]

    def _rows_by_hash(self, others: ImageIds) -> np.ndarray:
        keys, rows = self._by_hash()
        found = np.full(len(others), -1, np.int64)
        if not len(self) or not len(others):
            return found
        wanted, wanted_rows = others._by_hash()
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        matching = keys[places] == wanted
        ours, theirs = rows[places[matching]], wanted_rows[matching]
        for begin in range(0, len(ours), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            equal = self._at(ours[part]) == others._at(theirs[part])
            found[theirs[part][equal]] = ours[part][equal]
            for row in theirs[part][~equal]:  # another id has the same hash: once in 2**64
                found[row] = self._row_of_one(others._at(np.asarray([row]))[0])
        return found

    def _row_of_one(self, key: np.bytes_) -> int:
        rows = np.flatnonzero(np.concatenate([block == key for block in self.blocks()]))
        return int(rows[0]) if len(rows) else -1

    def duplicates(self) -> tuple[str, ...]:
        """Ids that stand here more than once, each once, sorted."""
        if self._duplicates is None:  # every label space of the same images asks
            self._duplicates = self._find_duplicates()
        return self._duplicates

    def _find_duplicates(self) -> tuple[str, ...]:
        keys = self._all_hashes()
        keys.sort()
        same = keys[1:][keys[1:] == keys[:-1]]
        if not len(same):
            return ()
        members = np.flatnonzero(np.isin(self._all_hashes(), same))
        ids, counts = np.unique(self._at(members), return_counts=True)
        return tuple(key.decode() for key in ids[counts > 1])

    def _by_hash(self) -> tuple[np.ndarray, np.ndarray]:
        """Hashes uint64 [N], sorted, and the row of each."""
        if self._sorted is None:
            keys = self._all_hashes()
            rows = np.argsort(keys).astype(np.int32)
            self._sorted = keys[rows], rows
        return self._sorted

    def _all_hashes(self) -> np.ndarray:
        """A hash of each id: uint64 [N]."""
        found, begin = np.empty(len(self), np.uint64), 0
        for block in self.blocks():
            found[begin : begin + len(block)] = _hashes(block)
            begin += len(block)
        return found

    def chunks(self, size: int = 0) -> Iterator[list[str]]:
        """The ids in lists of at most `size` (0: 262,144)."""
        for block in self.blocks(size):
            yield [key.decode() for key in block.tolist()]

    def __len__(self) -> int:
        """Number of ids."""
        return self._length

    def __iter__(self) -> Iterator[str]:
        """The ids, in order."""
        for chunk in self.chunks():
            yield from chunk

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> ImageIds: ...

    def __getitem__(self, row: Any) -> str | ImageIds:
        """The id of a row, or the ids of a slice."""
        if isinstance(row, slice):
            return self.subset(row)
        row = range(len(self))[row]  # counted from the end where negative
        return bytes(self._at(slice(row, row + 1))[0]).decode()

    def __contains__(self, key: object) -> bool:
        """Whether an id is among these."""
        return isinstance(key, str) and self.rows_of([key])[0] >= 0

    def __eq__(self, other: object) -> bool:
        """Whether another sequence holds the same ids in the same order."""
        if self is other:
            return True
        if not isinstance(other, Sequence) or isinstance(other, str) or len(self) != len(other):
            return False
        if isinstance(other, ImageIds):
            parts = [slice(begin, begin + _CHUNK) for begin in range(0, len(self), _CHUNK)]
            return all(np.array_equal(self._at(part), other._at(part)) for part in parts)
        return all(mine == theirs for mine, theirs in zip(self, other))

    __hash__ = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The ids as text, str [N], for NumPy."""
        del copy
        return np.strings.decode(self.encoded, "utf-8").astype(dtype or np.str_, copy=False)

    def __repr__(self) -> str:
        """Number of ids and the first three."""
        return f"ImageIds({len(self)}: {', '.join(self[:3])}{', …' * (len(self) > 3)})"


def _hashes(encoded: np.ndarray) -> np.ndarray:
    """A hash of each of some bytes, whatever the array's width: uint64 [N]."""
    found = np.empty(len(encoded), np.uint64)
    num_words = -(-encoded.dtype.itemsize // 8)
    for begin in range(0, len(encoded), _CHUNK):
        part = encoded[begin : begin + _CHUNK].astype(f"S{8 * num_words}")
        words = part.view("<u8").reshape(len(part), num_words)
        state = np.full(len(part), 0x9E3779B97F4A7C15, np.uint64)
        for column in range(num_words):
            word = words[:, column]
            mixed = (state ^ word) * _MULTIPLIER
            mixed ^= mixed >> _SHIFT
            state = np.where(word == 0, state, mixed)  # a shorter id ends in words of zeros
        found[begin : begin + _CHUNK] = state
    return found
