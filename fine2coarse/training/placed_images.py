"""Images that an engine has placed on its devices, kept for the feeds that come back to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# What a transfer to another dataset looks at: images to pretrain on, to train on and to test on.
_MAX_KEPT = 3


class PlacedImages:
    """Arrays on the devices, each placed once; those that were placed first make room.

    Args:
      place: an array uint8 [N, h, w, 3] to what the devices hold of it.
    """

    def __init__(self, place: Callable[[np.ndarray], Any]) -> None:
        self._place = place
        # With each array itself, lest another one get its identity.
        self._kept: dict[int, tuple[np.ndarray, Any]] = {}

    def of(self, images: np.ndarray | None) -> Any:
        """What the devices hold of an array; None of None."""
        if images is None:
            return None
        kept = self._kept.get(id(images))
        if kept is None:
            while len(self._kept) >= _MAX_KEPT:
                self._kept.pop(next(iter(self._kept)))
            kept = self._kept[id(images)] = (images, self._place(images))
        return kept[1]
