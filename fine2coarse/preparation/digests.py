"""Short digests of bytes."""

from __future__ import annotations

import hashlib


def hash128(data: bytes) -> tuple[int, int]:
    """First 128 bits of the SHA-256, as two unsigned 64-bit integers, big end first."""
    digest = hashlib.sha256(data).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:16], "big")
