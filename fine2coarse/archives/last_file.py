"""Which file a preparation is at, known even if a decoder crashes the process.

Each process notes the name in a file of its own that it maps into memory: that costs no more than
a copy of the name, and the system keeps what was noted however the process ends.
"""

from __future__ import annotations

import mmap
import os
import socket

from etils import epath

_NUM_BYTES = 4096
_SUFFIX = ".last_file"


class LastFile:
    """Notes the file that is being read; a context, whose note goes when it is left.

    Args:
      folder: for the note. Nothing is noted where it is no local folder.
    """

    def __init__(self, folder: epath.Path) -> None:
        self._path = folder / f"{socket.gethostname()}-{os.getpid()}{_SUFFIX}"
        self._map: mmap.mmap | None = None

    def __enter__(self) -> LastFile:
        if "://" in os.fspath(self._path):
            return self
        with open(self._path, "w+b") as file:  # noqa: PTH123 (mapped by its descriptor)
            file.write(b"\0" * _NUM_BYTES)  # a full disk is an error here, and no crash later
            file.flush()
            try:
                self._map = mmap.mmap(file.fileno(), _NUM_BYTES)
            except OSError:  # a file system that maps nothing: the note can be done without
                self._path.unlink(missing_ok=True)
        return self

    def __exit__(self, *error: object) -> None:
        if self._map is not None:
            self._map.close()
            self._path.unlink(missing_ok=True)

    def note(self, name: str) -> None:
        """Notes a file's name."""
        if self._map is not None:
            text = name.encode("utf-8", "backslashreplace")[:_NUM_BYTES]
            self._map[:] = text.ljust(_NUM_BYTES, b"\0")


def take_notes(folder: epath.Path) -> list[str]:
    """Names that processes left which did not live to take back their notes; removes the notes."""
    found = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        found.append(path.read_bytes().rstrip(b"\0").decode("utf-8", "replace"))
        path.unlink(missing_ok=True)
    return [name for name in found if name]
