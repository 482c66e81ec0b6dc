"""A plan as a table for people."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from fine2coarse.analysis.results import format_table
from fine2coarse.studies.plan import FINISHED, PARTLY, TO_DO, PlannedRun

_UNITS = ("B", "kB", "MB", "GB", "TB")


def describe_plan(
    plan: Sequence[PlannedRun], num_backbone_parameters: int, num_features: int
) -> str:
    """One line a run, and a line of totals.

    Args:
      plan: from `plan_study`.
      num_backbone_parameters: without the head.
      num_features: that the head takes.
    """
    columns = ["run", "classes", "steps", "images", "time left", "disk", "state"]
    cells, seconds, disk = [], [], []
    for planned in plan:
        phases = planned.phases
        left = _total([phase.seconds_left for phase in phases])
        size = _total([p.num_bytes(num_backbone_parameters, num_features) for p in phases])
        seconds.append(left)
        disk.append(size)
        cells.append(
            [
                str(planned.run),
                "?" if phases[0].num_classes is None else f"{phases[0].num_classes:,}",
                _steps([phase.phase.total_steps for phase in phases]),
                f"{sum(phase.num_images for phase in phases):,}",
                duration(left),
                size_of(size),
                planned.state,
            ]
        )
    states = [planned.state for planned in plan]
    counts = ", ".join(f"{states.count(s)} {s}" for s in (FINISHED, PARTLY, TO_DO))
    cells.append(
        [
            f"all {len(plan)}",
            "",
            f"{sum(p.phase.total_steps for u in plan for p in u.phases):,}",
            f"{sum(p.num_images for u in plan for p in u.phases):,}",
            duration(_total(seconds)),
            size_of(_total(disk)),
            "",
        ]
    )
    return f"{format_table(columns, cells)}\n{counts}"


def _steps(counts: Sequence[int]) -> str:
    """For example `400 + 3 × 100`."""
    groups = [(count, len(list(members))) for count, members in itertools.groupby(counts)]
    return " + ".join(f"{n} × {count:,}" if n > 1 else f"{count:,}" for count, n in groups)


def _total(values: Sequence[float | None]) -> float | None:
    return None if None in values else sum(values)


def duration(seconds: float | None) -> str:
    """`3 d 04 h`, `2 h 05 min`, `40 s`; `?` where it is unknown."""
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


def size_of(num_bytes: float | None) -> str:
    """`1.2 GB` (of 1000³); `?` where it is unknown."""
    if num_bytes is None:
        return "?"
    exponent = 0
    while num_bytes >= 1000 and exponent < len(_UNITS) - 1:
        num_bytes /= 1000
        exponent += 1
    return f"{num_bytes:.0f} {_UNITS[0]}" if not exponent else f"{num_bytes:.1f} {_UNITS[exponent]}"
