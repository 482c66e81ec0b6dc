"""Random bits by formula: Threefry-2x32 (Salmon et al., SC 2011), 20 rounds, on any backend.

The same key and counter give the same bits in NumPy, TensorFlow and JAX, on every device, and
nothing is kept between calls. So what is drawn for an image follows from the seed and from where
the image stands in the stream alone: however the stream is split into batches, hosts and devices,
and wherever it goes on after a restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

# Table 2 of the paper, for 2×32 bits; the constant that makes up the third word of a key.
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_NUM_GROUPS = 5  # of four rounds
_PARITY = 0x1BD11BDA
_MASK = 0xFFFFFFFF
_MANTISSA_BITS = 24

Array = Any  # a NumPy array, or a tensor of Keras's backend


def array_module(array: Array) -> ModuleType:
    """Whose functions take this array: NumPy's, or those of `keras.ops`."""
    if isinstance(array, (np.ndarray, np.generic)):
        return np
    from keras import ops  # where there are tensors, Keras has been imported and set up

    return ops


def threefry2x32(key: tuple[Array, Array], counter: tuple[Array, Array]) -> tuple[Array, Array]:
    """64 random bits for each key and counter.

    Args:
      key: two words uint32, of any shapes that broadcast.
      counter: two words uint32, likewise.

    Returns:
      Two words uint32.
    """
    module = array_module(key[0])
    constant = _constants(key[0])
    parity = module.bitwise_xor(module.bitwise_xor(key[0], key[1]), constant(_PARITY))
    keys = (key[0], key[1], parity)
    x, y = module.add(counter[0], keys[0]), module.add(counter[1], keys[1])
    for group in range(_NUM_GROUPS):
        for rotation in _ROTATIONS[group % 2]:
            x = module.add(x, y)
            turned = module.bitwise_or(
                module.left_shift(y, constant(rotation)),
                module.right_shift(y, constant(32 - rotation)),
            )
            y = module.bitwise_xor(x, turned)
        x = module.add(x, keys[(group + 1) % 3])
        y = module.add(module.add(y, keys[(group + 2) % 3]), constant(group + 1))
    return x, y


def position_keys(seed: int, positions: np.ndarray) -> np.ndarray:
    """A key for each image of a stream, by the stream's seed and the image's place.

    Args:
      seed: of any 64 bits.
      positions: int64 [n], not negative.

    Returns:
      uint32 [n, 2].
    """
    positions = np.asarray(positions, np.int64).astype(np.uint64)
    seed_words = (np.array(seed & _MASK, np.uint32), np.array(seed >> 32 & _MASK, np.uint32))
    place = ((positions & _MASK).astype(np.uint32), (positions >> np.uint64(32)).astype(np.uint32))
    return np.stack(threefry2x32(seed_words, place), -1)


def uniform(keys: Array, purposes: Sequence[int]) -> Array:
    """Two draws from [0, 1) for each key and purpose; those of one purpose never meet another's.

    Args:
      keys: uint32 [n, 2], from `position_keys`; in NumPy or as tensors.
      purposes: P numbers, not negative.

    Returns:
      float32 [n, P, 2] of the same kind, multiples of 2**-24.
    """
    module, constant = array_module(keys), _constants(keys)
    counter = (constant([purposes]), constant(0))
    words = threefry2x32((keys[:, 0:1], keys[:, 1:2]), counter)
    bits = module.right_shift(module.stack(words, -1), constant(32 - _MANTISSA_BITS))
    scale = np.float32(2.0**-_MANTISSA_BITS)
    if module is np:
        return bits.astype(np.float32) * scale
    return module.cast(bits, "float32") * scale


def _constants(array: Array) -> Any:
    """Makes words uint32 of the same kind as an array."""
    module = array_module(array)
    if module is np:
        return lambda value: np.asarray(value, np.uint32)
    return lambda value: module.convert_to_tensor(np.asarray(value, np.uint32))
