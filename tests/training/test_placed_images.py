"""Images lie on the devices once, however many feeds show them."""

from __future__ import annotations

import numpy as np

from fine2coarse.training.placed_images import PlacedImages


def test_an_array_is_placed_once_and_the_oldest_makes_room():
    calls = []
    placed = PlacedImages(lambda images: calls.append(int(images[0])) or f"on device {images[0]}")
    arrays = [np.array([number]) for number in range(4)]
    assert placed.of(None) is None
    assert [placed.of(array) for array in arrays[:3] * 2] == [
        "on device 0",
        "on device 1",
        "on device 2",
    ] * 2
    assert calls == [0, 1, 2]
    placed.of(arrays[3])
    placed.of(arrays[1])
    placed.of(arrays[0])
    assert calls == [0, 1, 2, 3, 0]
