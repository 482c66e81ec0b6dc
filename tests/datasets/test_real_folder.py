"""A real dataset whose authors put some pictures into both splits."""

from __future__ import annotations

import numpy as np
import pytest

from fine2coarse.datasets.open import open_dataset
from fine2coarse.preparation.contents import found_in


@pytest.mark.slow
def test_pictures_of_cifar_that_are_in_training_and_test(shared_data, tmp_path):
    """Pixel-identical pairs, counted once by comparing all decoded images with each other."""
    source = str(shared_data / "cifar100_animals.tar")
    dataset = open_dataset("folder", {"source": source}, str(tmp_path))
    assert dataset.splits == {"train": 25_000, "test": 5_000}
    report = dataset.preparation().report
    assert report.duplicates_across == {"train in test": 9, "test in train": 9}
    twice = found_in(dataset.digests("train"), dataset.digests("test"))
    assert np.count_nonzero(twice) == 9
