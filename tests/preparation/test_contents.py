"""The fingerprint of what prepared data holds, and pictures that are there twice."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fine2coarse.datasets.demo import Demo, DemoConfig
from fine2coarse.datasets.prepared import PreparedDataset
from fine2coarse.preparation import contents
from fine2coarse.preparation.contents import SplitContents, duplicates_across, fingerprint, found_in
from tests.datasets import fakes


def example(number: int, label: int = 0, image: int | None = None, hard: bool | None = None):
    found = {"image": fakes.jpeg(number if image is None else image), "label": label}
    found["image_id"] = f"{number}.jpg".encode()
    return found if hard is None else {**found, "hard": hard}


def whole(*examples) -> str:
    return fingerprint("taxonomy", {"train": SplitContents.of_examples(examples)})


def test_every_part_of_an_example_counts():
    first = whole(example(0), example(1))
    assert whole(example(0), example(1)) == first
    others = {
        whole(example(1), example(0)),
        whole(example(0), example(1, label=1)),
        whole(example(0), example(1, image=2)),
        whole(example(0)),
        whole(example(0, hard=False), example(1, hard=False)),
        whole(example(0, hard=False), example(1, hard=True)),
        fingerprint("other", {"train": SplitContents.of_examples([example(0), example(1)])}),
        fingerprint("taxonomy", {"test": SplitContents.of_examples([example(0), example(1)])}),
    }
    assert len(others) == 8 and first not in others


def test_pictures_of_another_split_are_found():
    ours = np.asarray([[1, 2], [3, 4], [1, 5]], np.uint64)
    others = np.asarray([[1, 5], [3, 9], [7, 7]], np.uint64)
    assert found_in(ours, others).tolist() == [False, False, True]
    assert found_in(ours[:0], others).tolist() == []
    assert duplicates_across({"train": ours, "test": others, "val": ours[:1]}) == {
        "train in test": 1,
        "train in val": 1,
        "test in train": 1,
        "val in train": 1,
    }


@pytest.mark.parametrize("num_ours", [5, 40, 300])
def test_many_pictures_are_found_as_a_set_finds_them(num_ours, monkeypatch):
    """Digests of few different words: some agree in one word, some in both, some stand twice."""
    monkeypatch.setattr(contents, "_BLOCK_ROWS", 7)
    random = np.random.default_rng(num_ours)
    ours = random.integers(0, 6, (num_ours, 2)).astype(np.uint64) << np.uint64(56)
    others = random.integers(0, 6, (40, 2)).astype(np.uint64) << np.uint64(56)
    known = set(map(tuple, others.tolist()))
    expected = [tuple(row) in known for row in ours.tolist()]
    assert found_in(ours, others).tolist() == expected
    assert 0 < sum(expected) < num_ours
    assert found_in(ours, others[:0]).tolist() == [False] * num_ours


@pytest.fixture
def demo(tmp_path):
    config = DemoConfig(
        name="tiny", num_superclasses=2, num_middle_classes=1, num_fine_classes=1, num_train=4,
        num_test_easy=2, num_test_hard=2,
    )  # fmt: skip
    builder = Demo(config=config, data_dir=tmp_path)
    builder.download_and_prepare()
    return PreparedDataset(builder, builder.taxonomy)


def test_other_builders_data_is_read_once(demo, monkeypatch):
    first = demo.fingerprint
    again = dataclasses.replace(demo)
    monkeypatch.setattr(contents, "content_digest", None)  # whoever reads an image now fails
    assert again.fingerprint == first
    assert again.digests("train").shape == (4, 2)
    stored = contents.read_contents(again.builder.data_dir, again.splits)
    assert isinstance(stored["train"].digests, np.memmap), "not read until it is looked at"


def test_contents_of_other_data_are_not_believed(demo, tmp_path):
    first = demo.fingerprint
    folder = demo.builder.data_path
    path = folder / contents.CONTENTS_NAME
    path.write_text(path.read_text().replace('"num_examples": 4', '"num_examples": 5'))
    assert dataclasses.replace(demo).fingerprint == first
    path.write_text("{")
    assert dataclasses.replace(demo).fingerprint == first
    (folder / "contents-train.npy").write_bytes(b"cut")
    assert dataclasses.replace(demo).fingerprint == first


def test_part_of_a_split_has_its_own(demo):
    assert np.array_equal(demo.digests("train[:2]"), demo.digests("train")[:2])
