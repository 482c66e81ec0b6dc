"""Levels that every taxonomy has: `hops:2`, two edges above the leaf; `depth:1`, one below a root.

They stand beside the levels that a taxonomy names itself, such as `genus`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

HOPS, DEPTH = "hops", "depth"
MOST_NAMED_HOPS = 100
"""A taxonomy without ranks names at most this many levels by hops; `hops:K` reaches the others."""

_COUNTED = re.compile(rf"({HOPS}|{DEPTH}):(0|[1-9][0-9]{{0,8}})")


def counted(level: str) -> tuple[str, int] | None:
    """('hops', 2) of 'hops:2', ('depth', 1) of 'depth:1'; None of any other name."""
    match = _COUNTED.fullmatch(level)
    return (match[1], int(match[2])) if match else None


def told(levels: Sequence[str], max_hops: int, max_depth: int) -> str:
    """The levels of a taxonomy in words, for an error about another one.

    Args:
      levels: those that it names.
      max_hops: the greatest K of `hops:K`, and
      max_depth: of `depth:K`.
    """
    return f"{list(levels)}, {HOPS}:0 to {HOPS}:{max_hops} and {DEPTH}:0 to {DEPTH}:{max_depth}"
