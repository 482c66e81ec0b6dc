"""Batches from arrays and packs in NumPy, some of them read ahead by threads; no TensorFlow.

What is cheap on a device is left to it (`step_augmentation`): here rows are gathered, and images of
several sizes are decoded, cropped and resized.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
from PIL import Image

from fine2coarse.input.array_images import ArrayImages
from fine2coarse.input.augment_ranges import WINDOW_PURPOSES
from fine2coarse.input.pillow_decoding import EncodedImage
from fine2coarse.input.random_bits import uniform
from fine2coarse.input.random_windows import random_windows
from fine2coarse.input.shard import Shard, num_cores

Batch = Mapping[str, np.ndarray]
NUM_AHEAD = 3
"""Batches that are read while one is in use."""

_REDUCING_GAP = 2.0  # Pillow's: first by whole factors, down to twice the size wanted


class PackedImages(Protocol):
    """Images of several sizes, in one array: those of a pack.

    Attributes:
      is_encoded: whether they are files, not pixels.
    """

    is_encoded: bool

    def __len__(self) -> int:
        """Number of images."""

    def encoded(self, row: int) -> bytes:
        """A file's bytes, where they are files."""

    def decoded(self, row: int) -> np.ndarray:
        """An image's pixels, uint8 [h, w, 3]."""


class Reader(Protocol):
    """Reads images into arrays; for many threads.

    Attributes:
      shape: of what is read of an image.
      dtype: of a pixel or a feature.
      at_once: how many images one thread should read.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    at_once: int

    def read(self, rows: np.ndarray, keys: np.ndarray, found: np.ndarray) -> None:
        """Reads some rows, int [n], to `found` [n, *shape]; keys uint32 [n, 2] say what is random.

        Raises:
          UsageError: where an image cannot be decoded.
        """


class RowReader:
    """Gathers rows of an array.

    Args:
      images: of one size, or features.
    """

    at_once = 256

    def __init__(self, images: ArrayImages) -> None:
        self._images = images
        self.shape, self.dtype = images.shape[1:], images.dtype

    def read(self, rows: np.ndarray, keys: np.ndarray, found: np.ndarray) -> None:
        """See `Reader`."""
        found[:] = self._images.take(rows)


class ViewReader:
    """Cuts one square view out of each image, and resizes it.

    Args:
      images: of several sizes.
      size_px: S, side of the views.
      min_area: smallest share of an image's area in a random window (see `random_windows`); None
        for the largest central square.
    """

    at_once = 8
    dtype = np.dtype(np.uint8)

    def __init__(self, images: PackedImages, size_px: int, min_area: float | None) -> None:
        self._images, self._size_px, self._min_area = images, size_px, min_area
        self.shape = (size_px, size_px, 3)

    def read(self, rows: np.ndarray, keys: np.ndarray, found: np.ndarray) -> None:
        """See `Reader`."""
        draws = None if self._min_area is None else uniform(keys, WINDOW_PURPOSES)
        for place, row in enumerate(rows.tolist()):
            window_draws = None if draws is None else draws[place : place + 1]
            found[place] = self._view(row, window_draws)

    def _view(self, row: int, draws: np.ndarray | None) -> np.ndarray:
        """The view uint8 [S, S, 3] of an image; draws of its window float32 [1, purposes, 2]."""
        if not self._images.is_encoded:
            pixels = self._images.decoded(row)
            return self._resized(
                Image.fromarray(pixels), self._window(*pixels.shape[:2], draws), draws is None
            )
        image = EncodedImage(self._images.encoded(row))
        window = self._window(image.height, image.width, draws)
        # Evaluation sees every pixel; JPEG's own scales are for training alone, as in tf.data.
        most_scale = 1.0 if draws is None else min(window[2:]) / self._size_px
        upright = image.upright(most_scale)
        scale = np.array([upright.height / image.height, upright.width / image.width] * 2)
        return self._resized(upright, window * scale, draws is None)

    def _window(self, height: int, width: int, draws: np.ndarray | None) -> np.ndarray:
        """Top, left, height and width in pixels."""
        if draws is None:
            side = min(height, width)
            return np.array([(height - side) // 2, (width - side) // 2, side, side], float)
        found = random_windows(height, width, draws, self._min_area)
        return np.array([value[0] for value in found], float)

    def _resized(self, image: Image.Image, window: np.ndarray, exactly: bool) -> np.ndarray:
        top, left, height, width = window.tolist()
        box = (left, top, min(left + width, image.width), min(top + height, image.height))
        size, bilinear = (self._size_px, self._size_px), Image.Resampling.BILINEAR
        if not exactly:
            return np.asarray(image.resize(size, bilinear, box, _REDUCING_GAP))
        # Cut out first: the filter of `resize` reaches beyond its box.
        return np.asarray(image.crop(tuple(map(int, box))).resize(size, bilinear))


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayBatches:
    """One host's part of some batches, in order; each pass over it begins anew.

    Attributes:
      batch_size: images a batch, over all hosts.
      steps: numbers of the batches.
      shard: which part of each, in how many pieces.
      describe: positions int64 [b] to rows int [b], keys uint32 [b, 2] and what a batch holds
        besides its images.
      reader: reads the images; None where none are wanted.
    """

    batch_size: int
    steps: range
    shard: Shard
    describe: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]]
    reader: Reader | None

    def __post_init__(self) -> None:
        """Checks that the batch divides evenly."""
        self.shard.part_size(self.batch_size)

    def __len__(self) -> int:
        """Number of pieces."""
        return len(self.steps) * self.shard.pieces

    def __iter__(self) -> Iterator[Batch]:
        """The pieces, one after another.

        Raises:
          UsageError: where an image cannot be decoded.
        """
        if self.reader is None:
            for positions in self._positions():
                yield self.describe(positions)[2]
            return
        waiting: collections.deque[tuple[Batch, list[Future]]] = collections.deque()
        pool = ThreadPoolExecutor(num_cores(), thread_name_prefix="read_images")
        try:
            for positions in self._positions():
                waiting.append(self._begun(pool, positions))
                if len(waiting) > NUM_AHEAD:
                    yield _finished(*waiting.popleft())
            while waiting:
                yield _finished(*waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _positions(self) -> Iterator[np.ndarray]:
        for step in self.steps:
            yield from self.shard.positions(self.batch_size, step)

    def _begun(self, pool: ThreadPoolExecutor, positions: np.ndarray) -> tuple[Batch, list[Future]]:
        """A batch whose images are being read, and what is to be waited for."""
        reader = self.reader
        rows, keys, batch = self.describe(positions)
        images = np.empty((len(rows), *reader.shape), reader.dtype)
        reads = []
        for begin in range(0, len(rows), reader.at_once):
            part = slice(begin, begin + reader.at_once)
            reads.append(pool.submit(reader.read, rows[part], keys[part], images[part]))
        return {"image": images, **batch}, reads


def _finished(batch: Batch, reads: list[Future]) -> Batch:
    for read in reads:
        read.result()
    return batch
