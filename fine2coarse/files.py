"""The one way to write a file: whole or not at all, also where several processes write it.

What is being written has a name of its own beside the file: hidden, and with `.tmp` in it. A killed
process leaves that name behind; whoever lists a folder passes over it (`is_partial`).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pathlib
import shutil
import uuid
from collections.abc import Callable, Iterator
from typing import IO, Any

from fine2coarse.errors import UsageError

PARTIAL_SUFFIX = ".tmp"
_CANNOT_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # folders, on some file systems


class DamagedFile(UsageError):
    """A JSON file that cannot be read; a `ValueError` too, as all of its kind."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Any]:
    """A name beside `path` to write to, which takes its place at the end of the body.

    For writers that want a name, such as Keras' `save_weights`; `write_atomic` is for the rest.
    The name ends as `path` does. The bytes are on the disk before the name changes; where the body
    fails, what was there stays as it was, and the other name is removed.

    Args:
      path: of the file (or, made by the body, of a folder that is not there yet); a string, a
        `pathlib.Path`, or a path of the same methods, such as etils' for remote folders.

    Yields:
      The name to write to, in the same folder; of the type that `path` is of.

    Raises:
      OSError: where the file cannot be written or replaced.
    """
    path = path if hasattr(path, "with_name") else pathlib.Path(path)
    partial = path.with_name(partial_name(path.name))
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
    except BaseException:
        _remove(partial)
        raise
    _flush(path.parent)


def write_atomic(
    path: str | os.PathLike, content: str | bytes | Callable[[IO[bytes]], object]
) -> None:
    """Writes a file, whole or not at all.

    Args:
      path: of the file; what was there is replaced.
      content: its text (as UTF-8; what has no UTF-8, as in names of files, is escaped), its bytes,
        or a function that writes it to an open binary file.

    Raises:
      OSError: where the file cannot be written or replaced.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        if isinstance(content, str):
            file.write(content.encode("utf-8", "backslashreplace"))
        elif isinstance(content, bytes | bytearray | memoryview):
            file.write(content)
        else:
            content(file)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Writes a value as JSON, whole or not at all.

    Args:
      path: of the file.
      content: what JSON can hold; where it cannot, nothing is written.

    Raises:
      OSError: where the file cannot be written or replaced.
      TypeError: where JSON cannot hold the value.
    """
    write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike) -> Any:
    """Reads a JSON value.

    Args:
      path: of the file; a string, or a path as for `replacing`.

    Raises:
      OSError: where the file cannot be read.
      DamagedFile: where it is not UTF-8 or not JSON.
    """
    path = path if hasattr(path, "read_text") else pathlib.Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DamagedFile(f"{path}: damaged ({error}); expected JSON") from error


def partial_name(name: str) -> str:
    """A new name for a file while it is being written; it ends as `name` does."""
    endings = pathlib.PurePath(name).suffixes[-2:]
    return f".{uuid.uuid4().hex}{PARTIAL_SUFFIX}{''.join(endings)}"


def is_partial(name: str) -> bool:
    """Whether a name is that of a file which is being written, or was when a process was killed."""
    return name.startswith(".") and PARTIAL_SUFFIX in name


def remove_partial(folder: Any) -> None:
    """Removes what killed processes left; only where no living one writes into the folder.

    Args:
      folder: a `pathlib.Path`, or a path of the same methods.
    """
    for path in list(folder.iterdir()):
        if is_partial(path.name):
            _remove(path)


def _remove(path: Any) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _flush(path: Any) -> None:
    """Puts what the system holds of a file or folder onto the disk, where that can be told.

    Raises:
      OSError: where the disk does not take it, as some file systems say only now.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # a remote path, or a folder that only others may list
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise
    finally:
        os.close(handle)
