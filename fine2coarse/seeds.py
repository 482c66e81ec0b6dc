"""Seeds for the several purposes of a run, each a stream of its own."""

from __future__ import annotations

import hashlib


def stream_seed(seed: int, purpose: str) -> int:
    """A seed in [0, 2**31) for one purpose of a run, so that purposes do not share numbers."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1
