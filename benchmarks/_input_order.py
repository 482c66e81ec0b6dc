"""How well the stream is shuffled: how alike images are that are trained on at the same time."""

from __future__ import annotations

import dataclasses

import numpy as np

_BATCH_SIZE = 1024
_NUM_BATCHES = 400


@dataclasses.dataclass(frozen=True)
class Split:
    """A split to stream.

    Attributes:
      num_shards: of equal size.
      images_a_shard: in each.
    """

    num_shards: int
    images_a_shard: int


SPLITS = (Split(64, 1600), Split(2048, 7000))


def stream_rows(split: Split, batch_size: int, num_batches: int, seed: int) -> np.ndarray:
    """Rows of the first batches of the stream: int64 [num_batches, batch_size]."""
    from fine2coarse.input.stream_order import StreamOrder
    from fine2coarse.recipes.recipe import DatasetSpec

    order = StreamOrder(
        shards_of(split),
        batch_size=batch_size,
        seed=seed,
        window_images=DatasetSpec("demo").stream_window_images,
    )
    rows = np.empty((num_batches, batch_size), np.int64)
    for lane in range(order.num_lanes):
        start, width = int(order.lane_start[lane]), int(order.lane_width[lane])
        count = num_batches * width
        windows = [order.window_rows(lane, number) for number in range(order.windows(lane, count))]
        shown = np.concatenate(windows)[:count]
        rows[:, start : start + width] = shown.reshape(num_batches, width)
    return rows


def shards_of(split: Split) -> np.ndarray:
    """The shard of each image: int32 [N]."""
    return np.repeat(np.arange(split.num_shards, dtype=np.int32), split.images_a_shard)


def alike(shards: np.ndarray) -> dict[str, float]:
    """How alike the images of batches are.

    Args:
      shards: int [batches, batch size], each image's shard.

    Returns:
      Shares of neighbours, and of any two images of a batch, that are of one shard; and the mean
      number of shards in a batch.
    """
    neighbours = shards.ravel()
    size = shards.shape[1]
    pairs, different = [], []
    for batch in shards:
        _, counts = np.unique(batch, return_counts=True)
        pairs.append((counts * (counts - 1)).sum() / (size * (size - 1)))
        different.append(len(counts))
    return {
        "neighbours": float(np.mean(neighbours[1:] == neighbours[:-1])),
        "pairs_of_a_batch": float(np.mean(pairs)),
        "shards_of_a_batch": float(np.mean(different)),
    }


def print_orders() -> dict:
    """Prints a table, stream and full shuffle, and returns its numbers."""
    from fine2coarse.terminal import table

    found, lines = {}, []
    for split in SPLITS:
        shards = shards_of(split)
        num_batches = min(_NUM_BATCHES, len(shards) // _BATCH_SIZE)
        shuffled = np.random.default_rng(0).permutation(len(shards))
        shuffled = shuffled[: num_batches * _BATCH_SIZE].reshape(num_batches, _BATCH_SIZE)
        stream = stream_rows(split, _BATCH_SIZE, num_batches, seed=0)
        for name, rows in (("stream", stream), ("full shuffle", shuffled)):
            one = alike(shards[rows])
            found[f"{split.num_shards} x {split.images_a_shard}, {name}"] = one
            lines.append(
                (
                    f"{split.num_shards:,} shards of {split.images_a_shard:,}",
                    name,
                    f"{one['neighbours']:.2%}",
                    f"{one['pairs_of_a_batch']:.2%}",
                    f"{one['shards_of_a_batch']:.0f}",
                )
            )
    print(f"batches of {_BATCH_SIZE:,}; images of one shard, and shards in a batch")
    headings = ("split", "order", "neighbours", "any two of a batch", "shards in a batch")
    print(table(headings, lines, text_columns=(0, 1)))
    return found
