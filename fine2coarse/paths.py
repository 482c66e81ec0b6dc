"""Paths as people write them: `~` and variables expanded. Any package may import this."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Collection, Mapping
from typing import Any

from fine2coarse.errors import UsageError

# As a POSIX shell reads it; a dollar sign before anything else stands for itself.
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))", re.ASCII)


class PathError(UsageError):
    """A path that names a variable or a user that there is not."""


def is_remote(path: str | os.PathLike) -> bool:
    """Whether a path names another file system, as in gs://bucket/folder."""
    return "://" in os.fspath(path)


def expand(path: str) -> str:
    """A path with `~`, `~user`, `$NAME` and `${NAME}` replaced by what they stand for.

    A remote path such as gs://bucket/~x keeps its form: variables are replaced, `~` is not.

    Args:
      path: as it was written; an empty one stays empty.

    Raises:
      PathError: where a variable is not set, or a user has no home.
    """

    def value_of(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if not os.environ.get(name):
            state = "empty" if name in os.environ else "not set"
            raise PathError(
                f"path {path!r}: the variable {name} is {state}; set it (export {name}=...) or "
                "write the path out"
            )
        return os.environ[name]

    expanded = _VARIABLE.sub(value_of, path)
    if not expanded.startswith("~"):
        return expanded
    try:
        return str(pathlib.Path(expanded).expanduser())
    except RuntimeError:
        raise PathError(
            f"path {path!r}: no home folder is known of {expanded.partition('/')[0]}; write the "
            "path out, or put ./ before a name that begins with ~"
        ) from None


def expand_named(content: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Options with those that are paths expanded, in nested ones too; all else as it is.

    Args:
      content: name → value, perhaps nested.
      names: of the options that are paths.

    Raises:
      PathError: see `expand`.
    """

    def value_of(name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return expand_named(value, names)
        return expand(value) if name in names and isinstance(value, str) else value

    return {name: value_of(name, value) for name, value in content.items()}
