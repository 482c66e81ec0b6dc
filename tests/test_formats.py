"""Numbers as text, by hand."""

from __future__ import annotations

import math

import pytest

from fine2coarse import formats
from fine2coarse.analysis.intervals import Interval


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formats.percent(-0.0004), "0.0"),
        (formats.percent(0.123, 1, signed=True), "+12.3"),
        (formats.interval(Interval(0.5, math.nan, math.nan)), "50.0"),
        (formats.interval(Interval(-0.5, -math.inf, 0.25)), "−50.0 [−∞, 25.0]"),
        (formats.count(24_002_396_160.0), "24 G"),
        (formats.count(None), "–"),
        (formats.bounds(Interval(0.5, 0.148, 0.19)), "14.8, 19.0"),
        (formats.mean_deviation(0.13934, 0.09154), "13.93 ± 9.15"),
        (formats.mean_deviation(0.5), "50.00"),
        (formats.mean_deviation(0.5, math.nan), "50.00"),
        (formats.mean_deviation(None), ""),
        (formats.counted(1, "seed"), "1 seed"),
        (formats.counted(1_200, "image"), "1,200 images"),
        (formats.size(1_059_373_056), "1010 MiB"),
        (formats.size(3 * 2**30), "3 GiB"),
        (formats.duration(132.0, 84.0), "2.2 ± 1.4 min"),
        (formats.p_value(0.0004), "< 0.001"),
        (formats.p_value(math.nan), ""),
    ],
)
def test_numbers_are_written_as_people_do(text, expected):
    assert text == expected
