"""The order of images in an endless stream of epochs, by formula: that of `input/batches.py`.

It is TensorFlow's `RandomIndexShuffle` in NumPy: a Simon cipher of four rounds, its blocks as small
as the number of images allows, applied again while it leads beyond them (cycle walking).
"""

from __future__ import annotations

import functools

import numpy as np

SHUFFLE_PADDING = 498247692  # of `tf.random.experimental.index_shuffle`
SHUFFLE_ROUNDS = 4
# Of the cipher, as in tensorflow/core/kernels/random_index_shuffle.cc.
_MIN_BLOCK_BITS = 16
_SCHEDULE = 0xFFFFFFFC ^ 1
# Below this many images the cipher leads beyond them for long: its whole table is walked at once.
_FEW_IMAGES = 1 << 14
# Up to this many images the order of a whole epoch is kept; above, only what is asked for is found.
_MAX_KEPT = 1 << 18
_NUM_KEPT = 2  # a batch may end one epoch and begin the next


class EpochOrder:
    """Which of N images stands where, every image once an epoch, each epoch in another order.

    Where N - 1 is an even power of two, 65,536 or more, TensorFlow's own shuffle shows one image
    twice and another never; so does this one.

    Args:
      num_images: N, 1 or more.
      seed: its lowest 32 bits count.
    """

    def __init__(self, num_images: int, seed: int) -> None:
        self._num_images, self._seed = num_images, seed
        self._epoch = functools.lru_cache(maxsize=_NUM_KEPT)(self._whole_epoch)

    def places(self, positions: np.ndarray) -> np.ndarray:
        """The images at some positions: int64 [n], from 0 to N - 1.

        Args:
          positions: int64 [n], counted over all epochs.
        """
        epochs, places = np.divmod(np.asarray(positions, np.int64), self._num_images)
        found = np.empty_like(places)
        for epoch in np.unique(epochs):
            members = epochs == epoch
            if self._num_images <= _MAX_KEPT:
                found[members] = self._epoch(int(epoch))[places[members]]
            else:
                found[members] = shuffled(places[members], self._num_images, self._seed, int(epoch))
        return found

    def _whole_epoch(self, epoch: int) -> np.ndarray:
        places = np.arange(self._num_images)
        return shuffled(places, self._num_images, self._seed, epoch).astype(np.int32)


def shuffled(places: np.ndarray, num_images: int, seed: int, epoch: int) -> np.ndarray:
    """Where an epoch's shuffle leads from some places: int64 [n].

    Args:
      places: int64 [n], from 0 to N - 1.
      num_images: N, 1 or more.
      seed: its lowest 32 bits count.
      epoch: its lowest 32 bits count.
    """
    if num_images == 1:
        return np.zeros(len(places), np.int64)
    bits = max(_MIN_BLOCK_BITS, _ceil_log2(num_images - 1))
    word = (bits + bits % 2) // 2
    keys = _round_keys((SHUFFLE_PADDING, seed, epoch), word)
    if num_images < _FEW_IMAGES:
        return _led_back(_encrypted(np.arange(1 << 2 * word), keys, word), num_images)[places]
    found = _encrypted(places, keys, word)
    beyond = np.flatnonzero(found >= num_images)
    while len(beyond):
        found[beyond] = _encrypted(found[beyond], keys, word)
        beyond = beyond[found[beyond] >= num_images]
    return found


def _led_back(table: np.ndarray, num_images: int) -> np.ndarray:
    """Of each number, the first below `num_images` that a permutation leads to.

    Args:
      table: int64 [2**k], the permutation.
      num_images: N.
    """
    onward = np.where(np.arange(len(table)) < num_images, np.arange(len(table)), table)
    step = 1
    while step < len(table):  # twice as far each time
        onward = onward[onward]
        step *= 2
    return onward[table]


def _round_keys(key: tuple[int, int, int], word: int) -> tuple[int, ...]:
    """The cipher's keys of `SHUFFLE_ROUNDS` rounds, `word` bits each."""
    mask = (1 << word) - 1
    first, second, third = (part & 0xFFFFFFFF & mask for part in key)
    fourth = _SCHEDULE ^ first ^ _turned_right(third, 3, word) ^ _turned_right(third, 4, word)
    return first, second, third, fourth & mask


def _turned_right(value: int, count: int, word: int) -> int:
    return (value >> count) | (value << (word - count))


def _encrypted(values: np.ndarray, keys: tuple[int, ...], word: int) -> np.ndarray:
    """The cipher of blocks of two words of `word` bits: int64 [n]."""
    mask, width = np.uint64((1 << word) - 1), np.uint64(word)
    values = values.astype(np.uint64)
    left, right = (values >> width) & mask, values & mask

    def turned_left(value: np.ndarray, count: int) -> np.ndarray:
        return (value << np.uint64(count)) | (value >> (width - np.uint64(count)))

    def mixed(value: np.ndarray) -> np.ndarray:
        both = turned_left(value, 1) & turned_left(value, 8)
        return (both ^ turned_left(value, 2)) & mask

    for number in range(0, len(keys), 2):
        left = left ^ mixed(right) ^ np.uint64(keys[number])
        right = right ^ mixed(left) ^ np.uint64(keys[number + 1])
    return ((left << width) | right).astype(np.int64)


def _ceil_log2(number: int) -> int:
    return (number - 1).bit_length()
