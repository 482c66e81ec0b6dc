"""Which part of each batch a host reads, and on how many cores. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from fine2coarse.errors import UsageError


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@dataclasses.dataclass(frozen=True)
class Shard:
    """Which part of every batch a host reads, and in how many pieces it passes it on.

    Attributes:
      index: of the host.
      count: number of hosts; host i reads the i-th of `count` equal, contiguous parts.
      pieces: replicas of this host: each part is passed on in as many equal pieces.
    """

    index: int = 0
    count: int = 1
    pieces: int = 1

    def part_size(self, batch_size: int) -> int:
        """Images of each batch that this host reads.

        Raises:
          UsageError: where the batch does not divide evenly.
        """
        if batch_size % (self.count * self.pieces):
            raise UsageError(
                f"a batch of {batch_size} does not divide among {self.count} hosts × "
                f"{self.pieces} replicas; use a multiple of {self.count * self.pieces}"
            )
        return batch_size // self.count

    def positions(self, batch_size: int, step: int) -> list[np.ndarray]:
        """Where this host's images of a batch stand in the whole stream, piece by piece.

        Args:
          batch_size: images a batch, over all hosts.
          step: number of the batch.

        Returns:
          `pieces` arrays int64 [batch_size / count / pieces].

        Raises:
          UsageError: where the batch does not divide evenly.
        """
        size = self.part_size(batch_size)
        first = step * batch_size + self.index * size
        return np.split(np.arange(first, first + size, dtype=np.int64), self.pieces)


WHOLE = Shard()
"""All of every batch in one piece, as one host on one device reads it."""
