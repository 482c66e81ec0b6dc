"""Images group by group, in one pass over millions of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_FEW_GROUPS = 1 << 16  # NumPy sorts keys of 16 bits by counting, several times faster


def rows_where(mask: np.ndarray) -> np.ndarray:
    """Positions of a mask bool [N], ascending: int32, int64 where N asks for it."""
    return np.flatnonzero(mask).astype(np.int32 if len(mask) < 2**31 else np.int64)


def by_group(groups: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each group that occurs, in ascending order, with the positions of its members, ascending.

    Args:
      groups: int [N].

    Yields:
      A group, and int32 [members] (int64 where N asks for it).
    """
    if not len(groups):
        return
    order = order_by(groups)
    keys = groups[order]
    starts = np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1, [len(keys)]])
    del keys
    for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist()):
        yield int(groups[order[start]]), order[start:stop]


def order_by(groups: np.ndarray) -> np.ndarray:
    """Positions by group, those of a group ascending: int32 [N] (int64 where N asks for it).

    Args:
      groups: int [N].
    """
    kind = np.int32 if len(groups) < 2**31 else np.int64
    if len(groups):
        low, high = int(groups.min()), int(groups.max())
        if high - low < _FEW_GROUPS:
            groups = (groups - low).astype(np.uint16)
    return np.argsort(groups, kind="stable").astype(kind)


def num_pairs(left: np.ndarray, right: np.ndarray) -> tuple[int, int, int]:
    """How many different pairs two labellings make, and how many labels of each occur in them.

    Args:
      left: int [N], -1 or more.
      right: int [N], -1 or more.
    """
    width = int(right.max(initial=-1)) + 2
    keys = np.unique((left.astype(np.int64) + 1) * width + (right.astype(np.int64) + 1))
    return len(keys), len(np.unique(keys // width)), len(np.unique(keys % width))
