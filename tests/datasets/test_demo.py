"""The generated dataset: its marks are where its docstring says, and its seed decides."""

from __future__ import annotations

import numpy as np
import pytest

from fine2coarse.datasets.demo import Demo, DemoConfig, Painter
from fine2coarse.datasets.prepared import PreparedDataset

# Without noise and clutter every patch is a mark or plain grey.
BARE = {"noise": 0.0, "clutter_strength": 0.0}


def patches_of(image: np.ndarray, config: DemoConfig) -> np.ndarray:
    """uint8 [grid², patch_px, patch_px, 3]."""
    g, p = config.grid, config.patch_px
    return image.reshape(g, p, g, p, 3).swapaxes(1, 2).reshape(g * g, p, p, 3)


def marks_in(label: int, *, hard: bool, seed: int = 0) -> list[bytes]:
    """The patches of one bare image that are not plain grey."""
    config = DemoConfig(name="bare", **BARE)
    image = Painter(config).paint(label, hard=hard, generator=np.random.default_rng(seed))
    return [p.tobytes() for p in patches_of(image, config) if not np.all(p == 128)]


def test_easy_images_carry_a_rare_and_a_common_mark_four_times_each():
    marks = marks_in(0, hard=False)
    assert sorted(marks.count(mark) for mark in set(marks)) == [4, 4]


def test_the_common_mark_is_shared_within_the_superclass_alone():
    same = set(marks_in(0, hard=False)) & set(marks_in(7, hard=False))
    other = set(marks_in(0, hard=False)) & set(marks_in(8, hard=False))
    assert len(same) == 1 and not other


def test_hard_images_keep_the_rare_mark_and_lack_the_common_one():
    easy, hard = set(marks_in(3, hard=False)), set(marks_in(3, hard=True))
    common = set(marks_in(0, hard=False)) & easy
    rare = easy - common
    assert rare <= hard and not common & hard


def test_the_same_seed_draws_the_same_images():
    assert marks_in(5, hard=True, seed=1) == marks_in(5, hard=True, seed=1)
    assert marks_in(5, hard=True, seed=1) != marks_in(5, hard=True, seed=2)


def test_prepared_splits_and_flags(tmp_path):
    config = DemoConfig(name="small", num_train=64, num_test_easy=32, num_test_hard=16)
    builder = Demo(config=config, data_dir=tmp_path)
    builder.download_and_prepare()
    dataset = PreparedDataset(builder, builder.taxonomy)
    assert dataset.splits == {"train": 64, "test": 48}
    taxonomy = dataset.taxonomy
    sizes = [len(set(taxonomy.ancestors_at(level))) for level in taxonomy.levels]
    assert sizes == [32, 8, 4]
    index = dataset.index("test")
    assert index.hard.sum() == 16 and not dataset.index("train").hard.any()
    assert np.bincount(dataset.index("train").labels, minlength=32).tolist() == [2] * 32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_marks": 9}, "num_marks <= 8"),
        ({"num_superclasses": 1}, "at least 2"),
        ({"num_train": 0}, "num_train must be at least 1"),
    ],
)
def test_sizes_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        DemoConfig(name="bad", **changes)
