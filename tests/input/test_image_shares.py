"""Which images are held out: those whose ids come first in the order of SHA-256."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from fine2coarse.errors import UsageError
from fine2coarse.image_ids import ImageIds
from fine2coarse.input import image_shares
from fine2coarse.input.image_shares import select_share

IDS = [f"klasse/Löwe_{number}.jpg" for number in range(200)]
IN_ORDER = sorted(range(200), key=lambda row: hashlib.sha256(IDS[row].encode()).digest())


@pytest.mark.parametrize("count", [1, 20, 199])
def test_the_first_by_their_digests(count):
    for ids in (IDS, tuple(IDS), ImageIds.of(IDS)):
        found = select_share(ids, count / 200)
        assert sorted(IN_ORDER[:count]) == np.flatnonzero(found).tolist()


@pytest.mark.parametrize("num_bits", [1, 2, 4])
def test_where_the_first_words_are_equal_the_whole_digest_decides(monkeypatch, num_bits):
    turns, shift = image_shares._turns, np.uint64(64 - num_bits)
    monkeypatch.setattr(image_shares, "_turns", lambda ids: turns(ids) >> shift)
    for count in (1, 50, 199):
        found = select_share(IDS, count / 200)
        assert sorted(IN_ORDER[:count]) == np.flatnonzero(found).tolist()


def test_no_side_may_be_empty():
    with pytest.raises(UsageError, match=r"transfer_share=0\.001 of 200 training images is 0"):
        select_share(IDS, 0.001, "transfer_share")
    with pytest.raises(UsageError, match="is 200"):
        select_share(IDS, 0.999)
