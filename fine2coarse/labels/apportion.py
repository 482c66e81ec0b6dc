"""Sharing a number of classes out among groups, in proportion to their sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fine2coarse.labels.space import LabelSpaceError


def share_out(sizes: Sequence[int], total: int) -> np.ndarray:
    """Shares `total` in proportion to `sizes` (largest remainder), at least 1, at most the size.

    Returns:
      int64 [len(sizes)], summing to `total`.

    Raises:
      LabelSpaceError: where no such shares exist.
    """
    sizes = np.asarray(sizes, np.int64)
    if not len(sizes) <= total <= sizes.sum() or np.any(sizes < 1):
        raise LabelSpaceError(
            f"cannot share {total} classes among groups of sizes {sizes.tolist()[:10]}"
        )
    shares = np.ones(len(sizes), np.int64)
    while (left := total - shares.sum()) > 0:
        room = sizes - shares
        wanted = np.maximum(total * sizes / sizes.sum() - shares, 0) + 1e-9
        wanted[room == 0] = 0
        quota = np.minimum(wanted / wanted.sum() * left, room)
        whole = np.floor(quota).astype(np.int64)
        if whole.sum() == 0:
            order = np.argsort(-(quota - whole), kind="stable")
            whole[order[room[order] > 0][:left]] = 1
        shares += whole
    return shares
