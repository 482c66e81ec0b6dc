"""Numbers as text, for reports and terminals: percent, intervals, durations, bytes, counts."""

from __future__ import annotations

import math
from typing import Protocol

_SUFFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_TIMES = (("s", 1, 120), ("min", 60, 7200), ("h", 3600, math.inf))  # unit, seconds, up to
_DISK_UNITS = ("B", "kB", "MB", "GB", "TB")
_MINUS = "−"


class Range(Protocol):
    """An estimate with the ends of its interval; fractions."""

    estimate: float
    low: float
    high: float


def percent(fraction: float, digits: int = 1, signed: bool = False) -> str:
    """A fraction in percent, without the sign for percent."""
    if math.isinf(fraction):
        return f"{_MINUS if fraction < 0 else ''}∞"
    text = f"{100 * fraction:{'+' if signed else ''}.{digits}f}"
    return _zero(text).replace("-", _MINUS)


def interval(value: Range, digits: int = 1, signed: bool = False) -> str:
    """Estimate and interval in percent, e.g. `16.9 [14.8, 19.0]`; without unknown bounds."""
    estimate = percent(value.estimate, digits, signed)
    if math.isnan(value.low) or math.isnan(value.high):
        return estimate
    return f"{estimate} [{bounds(value, digits, signed)}]"


def bounds(value: Range, digits: int = 1, signed: bool = False) -> str:
    """The ends of an interval in percent, e.g. `14.8, 19.0`."""
    return ", ".join(percent(end, digits, signed) for end in (value.low, value.high))


def mean_deviation(mean: float | None, deviation: float | None = None) -> str:
    """Two fractions in percent, e.g. `13.93 ± 9.15`.

    Args:
      mean: over seeds; None, written as '', where it is not known.
      deviation: over seeds; None or NaN, and left out, for one seed.
    """
    if mean is None:
        return ""
    if deviation is None or math.isnan(deviation):
        return percent(mean, 2)
    return f"{percent(mean, 2)} ± {percent(deviation, 2)}"


def p_value(value: float | None) -> str:
    """Three digits, or the bound below which it lies; empty where there is none."""
    if value is None or math.isnan(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def counted(number: int, noun: str) -> str:
    """For example `1 seed`, `3 seeds`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def count(value: float | None, unit: str = "") -> str:
    """A large number with three digits and a prefix of the SI, e.g. `1.52 T`; '–' for none."""
    if value is None:
        return "–"
    for size, suffix in _SUFFIXES:
        if abs(value) >= size:
            return f"{_three(value / size)} {suffix}{unit}"
    return f"{_three(value)} {unit}".strip()


def size(num_bytes: float | None) -> str:
    """Bytes in binary units; '–' for none."""
    if num_bytes is None:
        return "–"
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20)):
        if num_bytes >= scale:
            return f"{_three(num_bytes / scale)} {unit}"
    return f"{_three(num_bytes / 1024)} KiB"


def disk_size(num_bytes: float | None) -> str:
    """Bytes as disks are sold, in powers of 1000, e.g. `1.2 GB`; '?' for none."""
    if num_bytes is None:
        return "?"
    exponent = 0
    while num_bytes >= 1000 and exponent < len(_DISK_UNITS) - 1:
        num_bytes /= 1000
        exponent += 1
    return f"{num_bytes:.{1 if exponent else 0}f} {_DISK_UNITS[exponent]}"


def time_left(seconds: float | None) -> str:
    """`3 d 04 h`, `2 h 05 min`, `40 s`; '?' for none."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def duration(seconds: float, deviation: float = 0.0) -> str:
    """Seconds as a person reads them, with their deviation in the same unit where it is not 0."""
    unit, scale = next(unit for unit in _TIMES if seconds < unit[2])[:2]
    spread = f" ± {deviation / scale:.1f}" if deviation else ""
    return f"{seconds / scale:.1f}{spread} {unit}"


def _three(value: float) -> str:
    """At least three digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _zero(text: str) -> str:
    """No minus before a rounded zero."""
    return text.lstrip("-+") if not text.strip("-+0.") else text
