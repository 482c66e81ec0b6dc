"""A plan as a table for people."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from fine2coarse import formats, terminal
from fine2coarse.studies.plan import FINISHED, PARTLY, TO_DO, PlannedRun


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
                formats.time_left(left),
                formats.disk_size(size),
                planned.state,
            ]
        )
    states = [planned.state for planned in plan]
    counts = ", ".join(f"{states.count(s)} {s}" for s in (FINISHED, PARTLY, TO_DO))
    cells.append(
        [
            f"all {len(plan)}",
            "",
            f"{sum(p.phase.total_steps for run in plan for p in run.phases):,}",
            f"{sum(p.num_images for run in plan for p in run.phases):,}",
            formats.time_left(_total(seconds)),
            formats.disk_size(_total(disk)),
            "",
        ]
    )
    return f"{terminal.table(columns, cells)}\n{counts}"


def _steps(counts: Sequence[int]) -> str:
    """For example `400 + 3 × 100`."""
    groups = [(count, len(list(members))) for count, members in itertools.groupby(counts)]
    return " + ".join(f"{n} × {count:,}" if n > 1 else f"{count:,}" for count, n in groups)


def _total(values: Sequence[float | None]) -> float | None:
    return None if None in values else sum(values)
