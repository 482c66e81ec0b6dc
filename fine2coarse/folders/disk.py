"""What folders take on the disk, and when something in them last changed."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Collection, Iterator


@dataclasses.dataclass(frozen=True)
class Measured:
    """A folder's files together.

    Attributes:
      num_bytes: of all files; a file with several names counts once.
      changed: when one of them last changed; seconds since 1970, 0 without files.
    """

    num_bytes: int
    changed: float


def measure(folder: pathlib.Path, without: Collection[pathlib.Path] = ()) -> Measured:
    """Measures a folder; links are not followed, what vanishes meanwhile does not count.

    Args:
      folder: to measure.
      without: folders within that do not count.
    """
    sizes: dict[tuple[int, int], int] = {}
    changed = 0.0
    for _, found in files_below(folder, without):
        sizes[found.st_dev, found.st_ino] = found.st_size
        changed = max(changed, found.st_mtime)
    return Measured(sum(sizes.values()), changed)


def files_below(
    folder: pathlib.Path, without: Collection[pathlib.Path] = ()
) -> Iterator[tuple[pathlib.Path, os.stat_result]]:
    """Every file below a folder with its state; links are left out.

    Args:
      folder: to go through.
      without: folders within that are left out.
    """
    skipped = set(without)
    for where, folders, names in os.walk(folder):
        here = pathlib.Path(where)
        folders[:] = sorted(name for name in folders if here / name not in skipped)
        for name in sorted(names):
            path = here / name
            try:
                found = path.lstat()
            except OSError:
                continue
            if not path.is_symlink():
                yield path, found


def freed_bytes(files: Collection[tuple[pathlib.Path, os.stat_result]]) -> int:
    """What deleting files frees: nothing of a file that keeps another name."""
    names: dict[tuple[int, int], list[os.stat_result]] = {}
    for _, found in files:
        names.setdefault((found.st_dev, found.st_ino), []).append(found)
    return sum(all_[0].st_size for all_ in names.values() if all_[0].st_nlink <= len(all_))
