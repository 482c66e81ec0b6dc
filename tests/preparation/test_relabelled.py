"""Examples with other labels: the bytes, and their number without making them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow_datasets as tfds

from fine2coarse.preparation.spill import ExampleEncoder, relabelled, relabelled_sizes

LABELS = (0, 1, 127, 128, 16383, 16384, 21842)  # of one, two and three bytes


@pytest.fixture(scope="module")
def encoder() -> ExampleEncoder:
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "image_id": tfds.features.Text(),
            "label": tfds.features.ClassLabel(num_classes=21843),
        }
    )
    return ExampleEncoder(features)


# Examples of about 127 and 16,383 bytes, from where on their own length takes a byte more.
@pytest.mark.parametrize("num_bytes", [*range(40, 80), *range(16_300, 16_330), 100_000, 2_200_000])
def test_an_example_relabelled_is_as_if_encoded_so(encoder, num_bytes):
    image = {"image": b"x" * num_bytes, "image_id": "n02084071_7.JPEG"}
    encoded = {label: encoder.encode({**image, "label": label}) for label in LABELS}
    if num_bytes in (40, 2_200_000):
        for before in LABELS:
            assert [relabelled(encoded[before], after) for after in LABELS] == [*encoded.values()]
    sizes = np.asarray([len(data) for data in encoded.values()], np.int64)
    labels = np.asarray(LABELS, np.int32)
    for before, size in zip(labels, sizes):
        found = relabelled_sizes(np.full(len(sizes), size), np.full(len(sizes), before), labels)
        assert found.tolist() == sizes.tolist()


def test_the_sizes_tested_cross_where_the_length_takes_a_byte_more(encoder):
    sizes = [
        len(encoder.encode({"image": b"x" * number, "image_id": "n02084071_7.JPEG", "label": 0}))
        for number in range(40, 80)
    ]
    steps = np.diff(sizes)
    assert steps.max() > 1 and sizes[0] < 127 < sizes[-1]
