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
    close = nearest(name, names)
    hint = f"did you mean {close!r}? " if close else ""
    return f"unknown {what} {name!r}; {hint}there are: {', '.join(names)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like another; empty where none is like it.

    Args:
      name: what was received.
      known: what was expected.
    """
    return next(iter(difflib.get_close_matches(str(name), list(known), n=1)), "")
