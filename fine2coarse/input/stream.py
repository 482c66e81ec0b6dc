"""Images of shards read in sequence: each lane of a batch reads its own, ahead of what trains."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from fine2coarse.input.stored import StoredImages, encoded_images
from fine2coarse.input.stream_order import StreamOrder


class Stream:
    """The images of a training, in the order of `StreamOrder`.

    While one window of a lane is in use, the next one is read. So memory holds up to two windows of
    encoded images, and a restart reads what is left of the windows it falls into.

    Args:
      images: the stored images.
      covered: int64 [N], ascending, the rows of those that are trained on.
      batch_size: images a batch, over all hosts.
      seed: of order.
    """

    def __init__(
        self, images: StoredImages, covered: np.ndarray, *, batch_size: int, seed: int
    ) -> None:
        self._images, self._covered = images, covered
        self.order = StreamOrder(
            images.shards(covered),
            batch_size=batch_size,
            seed=seed,
            window_images=images.window_images,
        )

    def images(self, steps: range, start: int, size: int) -> tf.data.Dataset:
        """The part [start, start + size) of some batches: pairs of row int64 and encoded image."""
        order = self.order
        first = np.clip(start - order.lane_start, 0, order.lane_width)
        last = np.clip(start + size - order.lane_start, 0, order.lane_width)
        lanes = np.flatnonzero(last > first)
        # The window that holds a lane's first image of these steps, and that after its last one's.
        shown = [[step * width for width in order.lane_width] for step in (steps.start, steps.stop)]
        first_window = [order.windows(lane, count + 1) - 1 for lane, count in enumerate(shown[0])]
        last_window = [order.windows(lane, count) for lane, count in enumerate(shown[1])]

        def window_of(lane: np.int64, number: np.int64) -> tuple[np.ndarray, np.ndarray]:
            """Rows and records of what is wanted of a window."""
            width = order.lane_width[lane]
            counts = np.arange(*order.window_bounds(int(lane), int(number)))
            wanted = (counts >= steps.start * width) & (counts < steps.stop * width)
            wanted &= (counts % width >= first[lane]) & (counts % width < last[lane])
            rows = self._covered[order.window_rows(int(lane), int(number))[wanted]]
            return rows, np.asarray(self._images.records(rows), object)

        def lane_images(lane: tf.Tensor) -> tf.data.Dataset:
            numbers = tf.data.Dataset.range(
                tf.constant(first_window, tf.int64)[lane], tf.constant(last_window, tf.int64)[lane]
            )

            def read(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                rows, records = tf.numpy_function(
                    window_of, [lane, number], (tf.int64, tf.string), stateful=False
                )
                records = tf.ensure_shape(records, [None])
                return tf.ensure_shape(rows, [None]), encoded_images(records)

            # One call at a time, ahead of what is in use by one window.
            windows = numbers.map(read).prefetch(1)
            return windows.unbatch().batch(tf.constant(last - first, tf.int64)[lane])

        # All lanes read at the same time; block by block they make up the batches.
        blocks = tf.data.Dataset.from_tensor_slices(lanes).interleave(
            lane_images,
            cycle_length=len(lanes),
            block_length=1,
            num_parallel_calls=len(lanes),
            deterministic=True,
        )
        return blocks.unbatch()
