"""Ids as one array: a sequence of str whose rows are found without a dict."""

from __future__ import annotations

import numpy as np
import pytest

from fine2coarse import image_ids as module
from fine2coarse.image_ids import ImageIds

IDS = ("n01440764_1", "köln/ä.jpg", "b", "a-name-longer-than-eight-bytes", "")


def test_a_sequence_of_str():
    ids = ImageIds.of(IDS)
    assert list(ids) == list(IDS) == [ids[row] for row in range(5)]
    assert (len(ids), ids[-1], ids == IDS, ids == IDS[:4]) == (5, "", True, False)
    assert "b" in ids and "c" not in ids and b"b" not in ids
    assert ids[1:3] == IDS[1:3] and np.asarray(ids).tolist() == list(IDS)
    assert ImageIds.of(ids) is ids and ImageIds.of([b"b", "c"]) == ["b", "c"]
    assert list(ImageIds.of([])) == [] and ImageIds.of([]).rows_of(["a"]).tolist() == [-1]


def test_rows_are_found_by_hash_and_of_parts_and_subsets_by_place():
    ids = ImageIds.of(IDS)
    assert ids.rows_of(["", "x", "b", "b"]).tolist() == [4, -1, 2, 2]
    part = ids.subset(np.asarray([4, 1]))
    assert ids.rows_of(part).tolist() == [4, 1]
    assert part.rows_of(ids).tolist() == [-1, 1, -1, -1, 0]
    assert part.rows_of(ids.subset(np.asarray([True, True, False, False, True]))).tolist() == [
        -1, 1, 0,
    ]  # fmt: skip
    assert part.subset(np.asarray([1])).rows_of(part).tolist() == [-1, 0]
    joined = ImageIds.concatenate([part, ImageIds.of(["z"])])
    assert list(joined) == ["", IDS[1], "z"] and joined.rows_of(part).tolist() == [0, 1]
    assert joined.rows_of(["z", "y"]).tolist() == [2, -1]


def test_the_width_of_an_array_does_not_matter():
    narrow, wide = ImageIds(np.asarray([b"a", b"b"], "S1")), ImageIds(np.asarray([b"b"], "S99"))
    assert narrow.rows_of(wide).tolist() == [1] and wide.rows_of(narrow).tolist() == [-1, 0]


def test_ids_of_the_same_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(module, "_hashes", lambda encoded: np.zeros(len(encoded), np.uint64))
    ids = ImageIds.of(["a", "b", "c"])
    assert ids.rows_of(["c", "a", "x"]).tolist() == [2, 0, -1]
    assert ids.duplicates() == () and ImageIds.of(["a", "b", "a"]).duplicates() == ("a",)


def test_many_ids_against_a_dict():
    random = np.random.default_rng(0)
    texts = [f"{number:x}" for number in random.permutation(5000)]
    asked = [f"{number:x}" for number in random.integers(0, 9000, 3000)]
    places = {text: row for row, text in enumerate(texts)}
    assert ImageIds.of(texts).rows_of(asked).tolist() == [places.get(text, -1) for text in asked]
    assert ImageIds.of(texts).duplicates() == ()
    assert ImageIds.of([*texts, "1f", "1f"]).duplicates() == ("1f",)


def test_a_nul_byte_is_refused():
    with pytest.raises(ValueError, match="holds a NUL byte"):
        ImageIds.of(["a\0"])
    with pytest.raises(TypeError, match=r"expected bytes \[N\], got <U1"):
        ImageIds(np.asarray(["a"]))
