"""A share of the training images, chosen by their ids: held out, or to train on alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from fine2coarse.errors import UsageError


def select_share(
    image_ids: Sequence[str], share: float, what: str = "validation_share"
) -> np.ndarray:
    """Which images are taken out, for validation or to train on them alone: bool [N].

    An image's turn depends on its id alone (the order of SHA-256), not on the order of storage,
    on the seed or on other images, so all runs of a study take the same ones.

    Args:
      image_ids: N ids.
      share: of them.
      what: errors call it so.

    Raises:
      UsageError: where the share leaves one part empty.
    """
    count = round(share * len(image_ids))
    if not 0 < count < len(image_ids):
        raise UsageError(
            f"{what}={share} of {len(image_ids)} training images is {count}; expected at "
            "least one on each side"
        )
    keys = [hashlib.sha256(image_id.encode()).digest() for image_id in image_ids]
    chosen = sorted(range(len(keys)), key=keys.__getitem__)[:count]
    mask = np.zeros(len(keys), bool)
    mask[chosen] = True
    return mask
