"""Seeds for the several purposes of a run, each a stream of its own."""

from __future__ import annotations

import hashlib

import numpy as np


def stream_seed(seed: int, purpose: str) -> int:
    """A seed in [0, 2**31) for one purpose of a run, so that purposes do not share numbers."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers for one way to label, independent of those of every other.

    Label sources build on each other: a sample of random ids, noise in a sample. With one stream
    for all, a sample of random ids would be stratified by these very ids. Random ids themselves
    draw from `np.random.default_rng(seed)`, which no purpose here can give.

    Args:
      seed: not negative.
      purpose: of the draw, e.g. 'size_matched'.
    """
    digest = hashlib.sha256(purpose.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])
