"""What each arm cost, and its error against that cost."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fine2coarse import formats
from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.recipes.names import BASELINE
from fine2coarse.report.pictures import Panel, kind_of, point
from fine2coarse.report.points import Point
from fine2coarse.report.tables import Table

if TYPE_CHECKING:
    from fine2coarse.analysis.comparison import ArmComparison


@dataclasses.dataclass(frozen=True)
class ArmCost:
    """One arm's training, every transfer that was tried included; None for what was not noted.

    Attributes:
      arm: its name.
      seconds: of training, mean over seeds.
      deviation: of the seconds, over seeds; 0 for one seed.
      images: seen in a run.
      flops: of a run's training.
      peak_memory_bytes: the largest over phases, transfers and seeds.
      devices: what it ran on.
    """

    arm: str
    seconds: float
    deviation: float
    images: int
    flops: float | None
    peak_memory_bytes: int | None
    devices: tuple[str, ...]


def read_costs(runs: Sequence[FinishedRun]) -> list[ArmCost]:
    """The cost of every arm, in the order of the runs."""
    arms = dict.fromkeys(run.arm for run in runs)
    return [_arm_cost(arm, [run for run in runs if run.arm == arm]) for arm in arms]


def _arm_cost(arm: str, runs: Sequence[FinishedRun]) -> ArmCost:
    costs = [run.cost for run in runs]
    seconds = [cost.seconds for cost in costs]
    memory = [cost.peak_memory_bytes for cost in costs]
    notes = [part.get("cost") or {} for run in runs for part in run.trained]
    return ArmCost(
        arm=arm,
        seconds=statistics.fmean(seconds),
        deviation=statistics.stdev(seconds) if len(seconds) > 1 else 0.0,
        images=costs[0].images,
        flops=costs[0].flops,
        peak_memory_bytes=None if None in memory else max(memory),
        devices=tuple(dict.fromkeys(note["device"] for note in notes if note.get("device"))),
    )


def table(costs: Sequence[ArmCost]) -> Table:
    """A row an arm; columns that nothing is known of are left out."""
    shown: list[tuple[str, Callable[[ArmCost], str]]] = [
        ("training time", lambda c: formats.duration(c.seconds, c.deviation)),
        ("images seen", lambda c: f"{c.images:,}"),
    ]
    if any(c.flops is not None for c in costs):
        shown.append(("training FLOPs", lambda c: formats.count(c.flops)))
    if any(c.peak_memory_bytes is not None for c in costs):
        shown.append(("peak memory", lambda c: formats.size(c.peak_memory_bytes)))
    if any(c.devices for c in costs):
        shown.append(("device", lambda c: ", ".join(c.devices) or "–"))
    return Table(
        name="cost",
        caption="A run's training: pretraining and transfer, with every transfer that was tried; "
        "of the baseline all its trainings. Mean ± standard deviation over seeds; without "
        "evaluation, start-up and reading checkpoints.",
        columns=["arm", *(name for name, _ in shown)],
        cells=[[c.arm, *(write(c) for _, write in shown)] for c in costs],
        records=[dataclasses.asdict(c) | {"devices": " ".join(c.devices)} for c in costs],
        row_classes=["baseline" if c.arm == BASELINE else "" for c in costs],
    )


def panels(
    costs: Sequence[ArmCost],
    comparisons: Sequence[ArmComparison],
    arms: Mapping[str, Mapping[str, Any]],
) -> list[Panel]:
    """Error against seconds, and against FLOPs where all are known and they differ."""
    found = [Panel("training time of a run (s)", _points(costs, comparisons, arms, _seconds))]
    flops = [c.flops for c in costs]
    if None not in flops and max(flops) > 1.02 * min(flops):
        found.append(Panel("training FLOPs of a run", _points(costs, comparisons, arms, _flop)))
    return found


def _seconds(cost: ArmCost) -> float:
    return cost.seconds


def _flop(cost: ArmCost) -> float:
    return cost.flops or 0.0


def _points(
    costs: Sequence[ArmCost],
    comparisons: Sequence[ArmComparison],
    arms: Mapping[str, Mapping[str, Any]],
    measure: Callable[[ArmCost], float],
) -> list[Point]:
    of_arm = {cost.arm: cost for cost in costs}
    points = []
    for c in comparisons:
        kind = BASELINE if c.arm == BASELINE else kind_of(c.arm, arms[c.arm])
        points.append(point(c.transferred, kind, measure(of_arm[c.arm])))
    return points
