"""What an error says about an unknown name. Any package may import this; it imports none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Text for an unknown name: the name, the nearest right one where there is one, and all.

    Args:
      what: what the name is of, e.g. 'backbone'.
      name: what was received.
      known: what was expected, in the order to be shown.
    """
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"unknown {what} {name!r}; {hint}there are: {', '.join(names)}"
