"""The order of a stream: shards read in long pieces, every image once an epoch, by formula.

A batch has lanes: fixed, contiguous parts of it. The images of an epoch, shard after shard in an
order that the seed shuffles anew each epoch, are cut into one piece a lane. Each lane reads its
piece from beginning to end, and shuffles within windows. So

- a batch holds images of as many shards as there are lanes;
- which image stands at a position follows from the position alone: nothing is replayed after a
  restart, and however many hosts share the batch, together they see what one alone would;
- a host reads the lanes of its own part of the batch, and no others.

A shuffle buffer as `tf.data` has it gives none of the three.
"""

from __future__ import annotations

import functools

import numpy as np

NUM_LANES = 32
"""Parts of a batch that read pieces of their own; of smaller batches, one an image."""

_SHARDS, _IMAGES = 0, 1  # what is shuffled: streams of random numbers of their own


class StreamOrder:
    """Which image stands where in an endless stream of epochs.

    Args:
      shards: int [N], which shard holds each image; images of a shard stand together, in the order
        of their places.
      batch_size: images a batch, over all hosts.
      seed: of order.
      window_images: images that are shuffled among each other, over all lanes.
      num_lanes: at most this many.
    """

    def __init__(
        self,
        shards: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        window_images: int,
        num_lanes: int = NUM_LANES,
    ) -> None:
        changes = np.flatnonzero(np.diff(shards)) + 1
        self._first = np.r_[0, changes].astype(np.int64)  # row of each shard's first image
        self._sizes = np.diff(np.r_[self._first, len(shards)])
        self.num_images, self.batch_size, self.seed = len(shards), batch_size, seed
        self.num_lanes = min(num_lanes, batch_size)
        edges = np.arange(self.num_lanes + 1) * batch_size // self.num_lanes
        self.lane_start, self.lane_width = edges[:-1], np.diff(edges)
        self.window = max(1, min(window_images, self.num_images) // self.num_lanes)
        # Lanes begin new windows in turn, not all at the same step: reading goes on evenly.
        self._phase = np.arange(self.num_lanes) * self.window // self.num_lanes
        self._epoch = functools.lru_cache(maxsize=4)(self._find_epoch)

    def before(self, position: int) -> np.ndarray:
        """How many images each lane has shown before a position: int64 [L]."""
        batch, place = divmod(position, self.batch_size)
        return batch * self.lane_width + np.clip(place - self.lane_start, 0, self.lane_width)

    def windows(self, lane: int, count: int) -> int:
        """How many windows hold the first `count` images of a lane."""
        return -(-(count + int(self._phase[lane])) // self.window)

    def window_bounds(self, lane: int, number: int) -> tuple[int, int]:
        """The first and the last (exclusive) image of a lane's window, counted over all epochs."""
        begin = number * self.window - int(self._phase[lane])
        return max(begin, 0), begin + self.window

    def window_rows(self, lane: int, number: int) -> np.ndarray:
        """The rows that a lane shows in its window of that number: int64 [at most window]."""
        begin, end = self.window_bounds(lane, number)
        found = np.empty(end - begin, np.int64)
        epoch = self._epoch_of(lane, begin)
        done = begin
        while done < end:
            starts, ends, piece_start, order, bounds, turn = self._epoch(epoch)
            stop = min(end, int(ends[lane]))
            if stop > done:
                random = np.random.default_rng([_IMAGES, self.seed, epoch, lane, number])
                shuffled = random.permutation(stop - done)
                place = piece_start[lane] + (done - int(starts[lane])) + shuffled
                place = (place + turn) % self.num_images
                shard = np.searchsorted(bounds, place, side="right") - 1
                found[done - begin : stop - begin] = (
                    self._first[order[shard]] + place - bounds[shard]
                )
                done = stop
            epoch += 1
        return found

    def _epoch_of(self, lane: int, count: int) -> int:
        """The epoch of a lane's image number `count`."""
        batch, place = divmod(count, int(self.lane_width[lane]))
        position = batch * self.batch_size + int(self.lane_start[lane]) + place
        return position // self.num_images

    def _find_epoch(self, epoch: int) -> tuple[np.ndarray, ...]:
        """Of an epoch: first and last count of each lane, where its piece begins, the shards."""
        starts = self.before(epoch * self.num_images)
        ends = self.before((epoch + 1) * self.num_images)
        piece_start = np.cumsum(ends - starts) - (ends - starts)
        random = np.random.default_rng([_SHARDS, self.seed, epoch])
        order = random.permutation(len(self._sizes))
        bounds = np.r_[0, np.cumsum(self._sizes[order])[:-1]]
        # Turned, so that the lanes' pieces do not begin at the same images each epoch where there
        # are few shards.
        turn = int(random.integers(self.num_images))
        return starts, ends, piece_start, order, bounds, turn
