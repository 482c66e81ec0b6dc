"""A share of the training images, chosen by their ids: held out, or to train on alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from fine2coarse.errors import UsageError
from fine2coarse.image_ids import ImageIds


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
    ids = ImageIds.of(image_ids)
    turns = _turns(ids)
    last = np.partition(turns, count - 1)[count - 1]
    mask = turns < last
    # The first 64 bits order all but a few; of those that share the last ones, the rest decides.
    equal = np.flatnonzero(turns == last)
    rest = [hashlib.sha256(key.encode()).digest() for key in ids.subset(equal)]
    order = sorted(range(len(equal)), key=rest.__getitem__)
    mask[equal[order[: count - int(mask.sum())]]] = True
    return mask


def _turns(ids: ImageIds) -> np.ndarray:
    """The first 64 bits of each id's SHA-256, big end first: uint64 [N]."""
    digest, found = hashlib.sha256, np.empty(len(ids), np.uint64)
    begin = 0
    for block in ids.blocks():
        joined = b"".join([digest(key).digest()[:8] for key in block.tolist()])
        found[begin : begin + len(block)] = np.frombuffer(joined, ">u8")
        begin += len(block)
    return found
