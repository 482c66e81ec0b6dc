"""Strings as JSON piece by piece: the same bytes as in one go, read back the same."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fine2coarse.image_ids import ImageIds
from fine2coarse.labels import json_strings
from fine2coarse.labels.json_strings import json_pieces, read_json_strings

PLAIN = ["n01440764_10026", "b", "", "a~ z"]
ODD = [", ", '", "', "back\\slash", "tab\t", "Löwe 犬", "\x7f", "a\0b", '"']


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_the_bytes_are_those_of_json(ensure_ascii):
    parts = [[], PLAIN, ODD, PLAIN, ["Löwe"], ["x", "\x7f"]]
    ids = ImageIds.concatenate([ImageIds.of(part[:6]) for part in parts if "a\0b" not in part])
    for strings in (ids, ids[:0], tuple(ODD), ()):
        expected = json.dumps(list(strings), ensure_ascii=ensure_ascii).encode()
        assert b"".join(json_pieces(strings, ensure_ascii=ensure_ascii)) == expected


def test_one_odd_id_among_plain_ones():
    for odd in (*ODD[:6], '"'):
        ids = ImageIds.of(["plain", odd])
        assert b"".join(json_pieces(ids, ensure_ascii=True)) == json.dumps(["plain", odd]).encode()


def packed(strings: list[str]) -> np.ndarray:
    return np.frombuffer(json.dumps(strings, ensure_ascii=False).encode(), np.uint8)


def test_few_are_a_tuple():
    assert read_json_strings(packed(PLAIN)) == tuple(PLAIN)
    with pytest.raises(ValueError, match="Expecting"):
        read_json_strings(np.frombuffer(b"[", np.uint8))


@pytest.mark.parametrize("block_bytes", range(4, 40))
def test_many_are_read_block_by_block(monkeypatch, block_bytes):
    """Wherever blocks end: also within an id that looks like what stands between two."""
    monkeypatch.setattr(json_strings, "_BLOCK_BYTES", block_bytes)
    strings = [*PLAIN, ", ", "Löwe 犬", ",", " ", ", ", "", "end"]
    found = read_json_strings(packed(strings))
    assert isinstance(found, ImageIds) and list(found) == strings
    escaped = [*strings, "a\\b", '", "']
    assert list(read_json_strings(packed(escaped))) == escaped
