"""What a study says of its images."""

from __future__ import annotations

import pytest

from fine2coarse.datasets.data_facts import notes, overlap_in_words, published_in_words


def overlap(num_in_test: int, num_dropped: int = 0) -> dict:
    return {
        "images": "folder/a/2.0.0: train",
        "num_images": 1200,
        "num_in_test": num_in_test,
        "num_dropped": num_dropped,
    }


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (overlap(0), "none shows the same picture as a test image."),
        (overlap(9), "9 show the same picture as a test image; they were trained on nonetheless"),
        (overlap(9, 9), "these were left out of training (drop_duplicates)."),
    ],
)
def test_overlaps_in_words(found, told):
    words = overlap_in_words(found)
    assert words.startswith("Of the 1,200 images of folder/a/2.0.0: train, ") and told in words


def test_only_overlaps_are_worth_a_note():
    assert list(notes({})) == []
    assert len(list(notes({"overlaps": [overlap(0), overlap(3)]}))) == 1


def test_published_counts_in_words():
    assert published_in_words({"dataset": "demo"}) == ""
    fields = {"name": "fall11", "published_images": [9], "published_classes": 3}
    told = published_in_words({"compared": [{**fields, "images": [9], "classes": 2}]})
    assert told == "fall11: published 9 images of 3 classes, here 9 of 2: 1 class fewer"
