"""The one way to write a file: whole or not at all, also where several processes write it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import uuid
from collections.abc import Callable, Iterator
from typing import IO, Any

PARTIAL_SUFFIX = ".tmp"


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A name beside `path` to write to, which takes its place at the end of the body.

    For writers that want a name, such as Keras' `save_weights`; `write_atomic` is for the rest.
    The name ends as `path` does. The bytes are on the disk before the name changes; where the body
    fails, neither a part of the file nor the other name is left.

    Args:
      path: of the file (or, made by the body, of a folder that is not there yet).

    Yields:
      The name to write to, in the same folder.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f".{uuid.uuid4().hex}{PARTIAL_SUFFIX}{''.join(path.suffixes[-2:])}")
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
        _flush(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def write_atomic(
    path: str | os.PathLike, content: str | bytes | Callable[[IO[bytes]], object]
) -> None:
    """Writes a file, whole or not at all.

    Args:
      path: of the file; what was there is replaced.
      content: its text (as UTF-8; what has no UTF-8, as in names of files, is escaped), its bytes,
        or a function that writes it to an open binary file.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        if isinstance(content, str):
            file.write(content.encode("utf-8", "backslashreplace"))
        elif isinstance(content, bytes | bytearray | memoryview):
            file.write(content)
        else:
            content(file)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Writes a value as JSON, whole or not at all."""
    write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike) -> Any:
    """Reads a JSON value."""
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def is_partial(name: str) -> bool:
    """Whether a name is that of a file which is being written, or was when a process was killed."""
    return name.startswith(".") and PARTIAL_SUFFIX in name


def remove_partial(folder: pathlib.Path) -> None:
    """Removes what a killed process left; only where no other one writes into the folder."""
    for path in folder.glob(f".*{PARTIAL_SUFFIX}*"):
        path.unlink(missing_ok=True)


def _flush(path: pathlib.Path) -> None:
    """Puts what the system holds of a file or folder onto the disk, where that can be told."""
    with contextlib.suppress(OSError):  # a folder, on some file systems
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
