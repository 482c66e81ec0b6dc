"""One pass over image files: read, normalised as preparation does, decoded, given on in batches."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fine2coarse.formats import counted
from fine2coarse.input.shard import num_cores
from fine2coarse.prediction.image_models import Undecodable
from fine2coarse.preparation.image_checks import check_image
from fine2coarse.preparation.image_files import ImageFile

BATCH_SIZE = 64
_AHEAD = 2  # batches that are read while the model computes
_MAX_THREADS = 8  # each may hold a decoded photograph as floats: 0.3 GB of 24 megapixels


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """An image file that cannot be shown to a model.

    Attributes:
      file: it.
      problem: why, for people to read.
    """

    file: ImageFile
    problem: str

    def __str__(self) -> str:
        """File and problem."""
        return f"{self.file.name}: {self.problem}"


@dataclasses.dataclass(frozen=True)
class DecodedBatch:
    """Some files, in the order in which they were given.

    Attributes:
      files: those that could be read.
      decoded: of each what the model takes.
      unreadable: the others.
    """

    files: Sequence[ImageFile]
    decoded: Sequence[Any]
    unreadable: Sequence[Unreadable]


def decoded_batches(
    files: Iterable[ImageFile],
    decode: Callable[[bytes], Any],
    batch_size: int = BATCH_SIZE,
) -> Iterator[DecodedBatch]:
    """Reads files by threads, a few batches ahead and no more.

    Args:
      files: any number.
      decode: from the bytes of a JPEG or PNG as prepared data holds them; called from threads, and
        raises Undecodable.
      batch_size: files a batch.
    """

    def one(file: ImageFile) -> tuple[ImageFile, Any] | Unreadable:
        try:
            found = check_image(file.path.read_bytes())
            if found.problem:
                return Unreadable(file, found.why)
            return file, decode(found.data)
        except OSError as error:
            return Unreadable(file, f"cannot be read ({error.strerror or error})")
        except Undecodable as error:
            return Unreadable(file, " ".join(str(error).split())[:160])

    parts = _parts(iter(files), batch_size)
    with concurrent.futures.ThreadPoolExecutor(min(num_cores(), _MAX_THREADS)) as pool:
        waiting: collections.deque[list[concurrent.futures.Future]] = collections.deque()
        try:
            for part in itertools.islice(parts, _AHEAD):
                waiting.append([pool.submit(one, file) for file in part])
            while waiting:
                done = [future.result() for future in waiting.popleft()]
                waiting.extend([pool.submit(one, f) for f in part] for part in _one_of(parts))
                good = [item for item in done if not isinstance(item, Unreadable)]
                yield DecodedBatch(
                    [file for file, _ in good],
                    [decoded for _, decoded in good],
                    [item for item in done if isinstance(item, Unreadable)],
                )
        finally:
            pool.shutdown(cancel_futures=True)


def _parts(files: Iterator[ImageFile], size: int) -> Iterator[list[ImageFile]]:
    while part := list(itertools.islice(files, size)):
        yield part


def _one_of(parts: Iterator[list[ImageFile]]) -> Iterator[list[ImageFile]]:
    return itertools.islice(parts, 1)


def in_words(unreadable: Sequence[Unreadable], num_files: int, num_told: int = 3) -> str:
    """For example `2 of 30 images cannot be read: a.jpg: truncated image (90 bytes); …`."""
    told = "; ".join(map(str, unreadable[:num_told]))
    more = len(unreadable) - num_told
    rest = f"; and {more:,} more" if more > 0 else ""
    return f"{len(unreadable):,} of {counted(num_files, 'image')} cannot be read: {told}{rest}"
