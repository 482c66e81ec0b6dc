"""Transfers that were tried: which was chosen, and what the others would have come to."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from fine2coarse import formats
from fine2coarse.analysis import results
from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.recipes.names import BASELINE, NEW
from fine2coarse.report.tables import Table

METHOD = (
    "Each arm's pretrained model is tried in several ways, and the baseline with as many last "
    "phases. The one of least error on held-out training images is taken; test images choose "
    "nothing. What the trials cost is in the cost below."
)
ONE = "Every arm was transferred in one way; next to it, its pretrained model as it is."


@dataclasses.dataclass(frozen=True)
class Tried:
    """One candidate of an arm, over the seeds that tried it.

    Attributes:
      arm: its name.
      name: of the transfer.
      held_out: errors on held-out training images, a fraction a seed; where they were counted.
      test: errors on test images, likewise.
      num_chosen: seeds that chose it.
      num_seeds: seeds that tried it.
      seconds: of its own training, mean.
    """

    arm: str
    name: str
    held_out: Sequence[float]
    test: Sequence[float]
    num_chosen: int
    num_seeds: int
    seconds: float


def read_candidates(runs: Sequence[FinishedRun]) -> list[Tried]:
    """Every candidate of every arm: arms in the order of the runs, candidates as they were tried.

    A run that tried none has the transfer that it made and, where it is known, its direct use.
    """
    by_name: dict[tuple[str, str], list[tuple[Mapping[str, Any], bool]]] = {}
    arms = dict.fromkeys(run.arm for run in runs)
    for run in sorted(runs, key=lambda run: list(arms).index(run.arm)):
        for name, result in _candidates(run).items():
            by_name.setdefault((run.arm, name), []).append((result, name == run.transfer))
    return [_tried(arm, name, found) for (arm, name), found in by_name.items()]


def _candidates(run: FinishedRun) -> Mapping[str, Mapping[str, Any]]:
    if run.candidates:
        return run.candidates
    made = {run.transfer: run.tested}
    if run.direct is None or run.transfer == "direct":
        return made
    direct = {"evaluation": run.direct, "elapsed_seconds": 0.0}
    return {"direct": direct | _held_out(run.pretrained), **made}


def _held_out(result: Mapping[str, Any]) -> dict[str, Any]:
    return {"held_out": result["held_out"]} if result.get("held_out") else {}


def _tried(arm: str, name: str, found: Sequence[tuple[Mapping[str, Any], bool]]) -> Tried:
    return Tried(
        arm=arm,
        name=name,
        held_out=_errors([result.get("held_out") for result, _ in found]),
        test=_errors([result.get("evaluation") for result, _ in found]),
        num_chosen=sum(is_chosen for _, is_chosen in found),
        num_seeds=len(found),
        seconds=statistics.fmean(result["elapsed_seconds"] for result, _ in found),
    )


def _errors(counts: Sequence[Mapping[str, int] | None]) -> list[float]:
    return [count["num_wrong"] / count["num_images"] for count in counts if count]


def candidates_table(tried: Sequence[Tried]) -> Table:
    """A row a candidate."""
    return Table(
        name="candidates",
        caption="Held-out error: on training images held out of all training; it chooses. Test "
        "error: chooses nothing. Mean ± standard deviation over seeds. Time: of its own "
        "training.",
        columns=["arm", "transfer", "held-out error %", "test error %", "chosen", "time"],
        cells=[_cells(one) for one in tried],
        records=[_record(one) for one in tried],
        row_classes=["baseline" if one.arm == BASELINE else "" for one in tried],
        text_columns=(1,),
    )


def _cells(one: Tried) -> list[str]:
    return [
        one.arm,
        one.name,
        _mean(one.held_out),
        _mean(one.test),
        f"{one.num_chosen} of {one.num_seeds}",
        formats.duration(one.seconds),
    ]


def _record(one: Tried) -> dict[str, object]:
    return {
        "arm": one.arm,
        "transfer": one.name,
        **_columns("held_out_error", one.held_out),
        **_columns("test_error", one.test),
        "num_chosen": one.num_chosen,
        "num_seeds": one.num_seeds,
        "seconds": one.seconds,
    }


def _columns(name: str, errors: Sequence[float]) -> dict[str, object]:
    deviation = statistics.stdev(errors) if len(errors) > 1 else ""
    return {name: statistics.fmean(errors) if errors else "", f"{name}_deviation": deviation}


def _mean(errors: Sequence[float]) -> str:
    return formats.mean_deviation(
        statistics.fmean(errors) if errors else None,
        statistics.stdev(errors) if len(errors) > 1 else None,
    )


def side_by_side(tried: Sequence[Tried], rows: Sequence[results.Row]) -> Table:
    """A row an arm: its direct use, the transfer that was chosen, and the new head's."""
    arms = list(dict.fromkeys(one.arm for one in tried))
    chosen = {arm: [row.error() for row in rows if row.arm == arm] for arm in arms}
    direct = {arm: _known(rows, arm, "direct") for arm in arms}
    argmax = {arm: _known(rows, arm, "direct_argmax") for arm in arms}
    new = {arm: _test_of(tried, arm, NEW) for arm in arms}
    names = results.chosen_transfers(rows)
    columns = {"direct": direct, "chosen": chosen, "new head": new, "direct, argmax": argmax}
    columns = {name: errors for name, errors in columns.items() if any(errors.values())}
    return Table(
        name="transfers",
        caption="Test error %, mean ± standard deviation over seeds. Direct: the pretrained model, "
        "probabilities of its classes summed into the target's; argmax: by its largest class "
        "alone. New head: fine-tuned from a random head, chosen or not.",
        columns=["arm", *columns, "transfer that was chosen"],
        cells=[[arm, *(_mean(of[arm]) for of in columns.values()), names[arm]] for arm in arms],
        records=[
            {"arm": arm, "transfers": names[arm]}
            | _columns("direct_error", direct[arm])
            | _columns("direct_argmax_error", argmax[arm])
            | _columns("chosen_error", chosen[arm])
            | _columns("new_error", new[arm])
            for arm in arms
        ],
        row_classes=["baseline" if arm == BASELINE else "" for arm in arms],
        text_columns=(len(columns) + 1,),
    )


def _known(rows: Sequence[results.Row], arm: str, which: str) -> list[float]:
    errors = [row.error(which) for row in rows if row.arm == arm]
    return [error for error in errors if error is not None]


def _test_of(tried: Sequence[Tried], arm: str, name: str) -> Sequence[float]:
    return next((one.test for one in tried if (one.arm, one.name) == (arm, name)), [])
