"""Writing one split of a pack: images are appended in chunks, each on the disk before the next.

What is written grows under its final name, unlike files that `fine2coarse.files` writes whole: it
counts only once `pack.json` is there. A journal says how much of it is known to be on the disk;
what a killed process wrote beyond that is cut off again.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from fine2coarse.files import read_json, write_atomic, write_json
from fine2coarse.packs.layout import EVEN, FILES, OFFSETS, PIXELS, SHAPES, PackError
from fine2coarse.packs.pack import sha256_of

JOURNAL, _SIZES = "journal.json", "sizes.bin"
_NOTHING = {"num_images": 0, "num_bytes": 0, "num_changed": 0}


class SplitWriter:
    """The arrays of one split, while they are written.

    Args:
      folder: of the split, within the pack; made where it is missing.
      layout: 'even', 'ragged' or 'files'.
      shape: [h, w, 3] of each image of layout 'even'; None of others.
    """

    def __init__(
        self, folder: pathlib.Path, layout: str, shape: Sequence[int] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._layout, self._shape = folder, layout, shape
        self._pixels, self._sizes = folder / PIXELS, folder / _SIZES
        self._header = _header_of([0])
        journal = folder / JOURNAL
        self._done = dict(_NOTHING)
        if journal.is_file():
            self._done = read_json(journal)
        self._cut_off()

    @property
    def num_images(self) -> int:
        """Images that are on the disk."""
        return self._done["num_images"]

    @property
    def num_changed(self) -> int:
        """Of these, how many have other pixels than the stored ones."""
        return self._done["num_changed"]

    @property
    def num_bytes(self) -> int:
        """Bytes of these images."""
        return self._done["num_bytes"]

    def append(self, images: Sequence[np.ndarray | bytes], num_changed: int) -> None:
        """Adds images: uint8 [h, w, 3] each, or files; they are on the disk when it returns.

        Args:
          images: in stored order.
          num_changed: how many of them have other pixels than the stored ones.

        Raises:
          OSError: where the disk is full; the journal then still tells what is whole.
          PackError: where an image is of another size than `shape`.
        """
        if self._shape is not None:
            for image in images:
                if list(image.shape) != list(self._shape):
                    raise PackError(
                        f"an image for {self._pixels} is {list(image.shape)}, expected "
                        f"{list(self._shape)}, as their headers say; delete {self._folder.parent} "
                        "and give --pixels=squares, shorter_side or encoded"
                    )
        blocks = [np.frombuffer(i, np.uint8) if isinstance(i, bytes) else i.ravel() for i in images]
        _append(self._pixels, np.concatenate(blocks).tobytes())
        if self._layout != EVEN:
            sizes = [[len(i)] if isinstance(i, bytes) else i.shape[:2] for i in images]
            _append(self._sizes, np.asarray(sizes, "<i8").tobytes())
        self._done = {
            "num_images": self.num_images + len(images),
            "num_bytes": self.num_bytes + sum(map(len, blocks)),
            "num_changed": self.num_changed + num_changed,
        }
        write_json(self._folder / JOURNAL, self._done)

    def finish(self) -> None:
        """Turns what was written into arrays."""
        count = self.num_images
        if self._layout != EVEN:
            sizes = np.fromfile(self._sizes, "<i8").reshape(count, -1)
            lengths = sizes[:, 0] if self._layout == FILES else sizes.prod(1) * 3
            write_array(self._folder / OFFSETS, np.concatenate([[0], np.cumsum(lengths)]))
            if self._layout != FILES:
                write_array(self._folder / SHAPES, sizes.astype(np.int32))
        whole = [self.num_bytes] if self._shape is None else [count, *self._shape]
        with self._pixels.open("r+b") as file:
            file.write(_header_of(whole))
            _flush(file)

    def _cut_off(self) -> None:
        """Brings the files to where the journal says, from the start where they are shorter."""
        row_bytes = 0 if self._layout == EVEN else 8 if self._layout == FILES else 16
        wanted = {
            self._pixels: len(self._header) + self.num_bytes,
            self._sizes: row_bytes * self.num_images,
        }
        sizes = {path: path.stat().st_size if path.is_file() else 0 for path in wanted}
        if any(sizes[path] < size for path, size in wanted.items()):
            self._done = dict(_NOTHING)
            write_atomic(self._pixels, self._header)
            write_atomic(self._sizes, b"")
            return
        for path, size in wanted.items():
            if sizes[path] > size:
                os.truncate(path, size)


def tell_arrays(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Name → bytes and SHA-256 of each array in a split's folder."""
    return {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.glob("*.npy"))
        if not path.name.startswith(".")
    }


def remove_journal(folder: pathlib.Path) -> None:
    """Removes what only an interrupted packing needs."""
    for name in (JOURNAL, _SIZES):
        (folder / name).unlink(missing_ok=True)


def write_array(path: pathlib.Path, values: np.ndarray) -> None:
    """Writes an array as a `.npy` file, whole or not at all."""
    write_atomic(path, lambda file: np.lib.format.write_array(file, values, allow_pickle=False))


def _header_of(shape: Sequence[int]) -> bytes:
    """The 128 bytes before the values of a uint8 array in a `.npy` file (NumPy's NEP 1)."""
    described = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {tuple(map(int, shape))}, }}"
    length = 128 - len(np.lib.format.magic(1, 0)) - 2
    text = described.encode("latin1").ljust(length - 1) + b"\n"
    return np.lib.format.magic(1, 0) + len(text).to_bytes(2, "little") + text


def _append(path: pathlib.Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        _flush(file)


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
