"""An index of 100,000 images: no Python object an image, whatever is made of it.

`benchmarks/index.py` does the same with 14.2 million, and tells seconds.
"""

from __future__ import annotations

import pathlib
import tracemalloc

import pytest

from benchmarks import index as benchmark
from fine2coarse import image_ids
from fine2coarse.preparation.record_index import read_index

NUM_IMAGES, NUM_TEST = 100_000, 3_951
# An id as a Python string takes 65 bytes and 8 in a list; a dict of ids 100 more.
MAX_BYTES = {
    "opening": 1,
    "level": 50,
    "random ids": 80,
    "held-out share": 40,
    "class map": 60,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    found = tmp_path_factory.mktemp("index")
    benchmark.fabricate(found, NUM_IMAGES)
    return found


def test_the_index_is_like_imagenets(folder):
    splits = read_index(folder, {"train": NUM_IMAGES - NUM_TEST, "validation": NUM_TEST})
    train = splits["train"]
    assert train.image_ids.duplicates() == () and train.image_ids[1].endswith("_1")
    assert len(set(train.labels.tolist())) == benchmark.NUM_LEAVES
    assert train.shard.max() == benchmark.NUM_SHARDS - 1
    assert splits["validation"].image_ids[0].endswith("_96049")


@pytest.mark.parametrize("name", MAX_BYTES)
def test_a_step_takes_few_bytes_an_image(folder, monkeypatch, name):
    monkeypatch.setattr(image_ids, "_CHUNK", 1024)  # blocks as small against this index
    step = benchmark.STEPS[name](folder)
    step()  # what is kept for all later calls
    tracemalloc.start()
    found = step()
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes / NUM_IMAGES < MAX_BYTES[name]
    expected = {
        "opening": {"images": NUM_IMAGES},
        "level": {"images": NUM_IMAGES, "classes": 471},
        "random ids": {"images": NUM_IMAGES, "classes": 21_841, "labelled": NUM_IMAGES - NUM_TEST},
        "held-out share": {"held_out": 9_605},
        "class map": {},
    }
    assert expected[name].items() <= found.items()


def test_a_plan_of_seven_arms_and_three_seeds(folder):
    found = benchmark.STEPS["plan"](folder)()
    assert found == {"spaces": 21, "keyed_by_image": 15, "images": 86_444}
