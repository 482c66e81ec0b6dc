"""The rows of a study, and what they say of each arm."""

from __future__ import annotations

import csv
import dataclasses
import io
import pathlib
import statistics
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from fine2coarse.experiment.run_folder import BASELINE


@dataclasses.dataclass(frozen=True)
class Row:
    """One run of an arm: pretraining and transfer, or the baseline's single phase.

    Errors are kept as counts. `easy_*` and `hard_*` are None where the dataset flags no images.
    Seconds are of training alone; the rest is fixed by recipe and seed.
    """

    arm: str
    num_classes: int
    seed: int
    num_wrong: int
    num_images: int
    easy_wrong: int | None
    easy_images: int | None
    hard_wrong: int | None
    hard_images: int | None
    images_seen: int
    pretrain_seconds: float
    transfer_seconds: float

    @classmethod
    def from_results(cls, arm: str, pretrain: dict[str, Any] | None, final: dict[str, Any]) -> Row:
        """From the results of the pretraining (None for the baseline) and of the last phase."""
        counts = {"easy_wrong": None, "easy_images": None, "hard_wrong": None, "hard_images": None}
        return cls(
            arm=arm,
            num_classes=(pretrain or final)["num_classes"],
            seed=final["seed"],
            images_seen=final["images_seen"] + (pretrain["images_seen"] if pretrain else 0),
            pretrain_seconds=pretrain["elapsed_seconds"] if pretrain else 0.0,
            transfer_seconds=final["elapsed_seconds"],
            **{**counts, **final["evaluation"]},
        )

    def error(self, which: str = "all") -> float | None:
        """Share of wrong images among 'all', 'easy' or 'hard' ones; None where not flagged."""
        prefix = "num" if which == "all" else which
        images = getattr(self, f"{prefix}_images")
        return getattr(self, f"{prefix}_wrong") / images if images else None


@dataclasses.dataclass(frozen=True)
class ArmSummary:
    """An arm over its seeds.

    Attributes:
      arm: its name.
      num_classes: of its label space.
      num_seeds: runs.
      mean: mean error over the seeds; a fraction.
      deviation: standard deviation over the seeds (n - 1); 0 for one seed.
      relative_change: mean over baseline's mean, minus one, over the seeds that both have; None
        for the baseline itself or without one.
    """

    arm: str
    num_classes: int
    num_seeds: int
    mean: float
    deviation: float
    relative_change: float | None


def summarise(rows: Sequence[Row], which: str = "all") -> list[ArmSummary]:
    """Each arm's error on 'all', 'easy' or 'hard' images, in order of its number of classes.

    Arms without such images are left out.
    """
    by_arm: dict[str, dict[int, Row]] = {}
    for row in rows:
        if row.error(which) is not None:
            by_arm.setdefault(row.arm, {})[row.seed] = row
    baseline = by_arm.get(BASELINE, {})
    summaries = []
    for arm, of_seed in by_arm.items():
        errors = [row.error(which) for row in of_seed.values()]
        shared = [seed for seed in of_seed if seed in baseline]
        change = None
        if arm != BASELINE and shared:
            ours = statistics.fmean(of_seed[seed].error(which) for seed in shared)
            theirs = statistics.fmean(baseline[seed].error(which) for seed in shared)
            change = ours / theirs - 1 if theirs else None
        deviation = statistics.stdev(errors) if len(errors) > 1 else 0.0
        classes = next(iter(of_seed.values())).num_classes
        summaries.append(
            ArmSummary(arm, classes, len(errors), statistics.fmean(errors), deviation, change)
        )
    return sorted(summaries, key=lambda s: (s.arm != BASELINE, s.num_classes, s.arm))


def write_csv(path: pathlib.Path, rows: Iterable[Row]) -> None:
    """Writes `results.csv`, a row a run, whole or not at all; several processes may write it."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(Row)])
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in rows)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    partial.write_text(text.getvalue(), encoding="utf-8", newline="")
    partial.replace(path)


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the summary: percentages, mean ± standard deviation over seeds."""
    flagged = any(row.hard_images for row in rows)
    columns = ["arm", "classes", "seeds", "top-1 error %", "change vs baseline"]
    easy = {s.arm: s for s in summarise(rows, "easy")}
    hard = {s.arm: s for s in summarise(rows, "hard")}
    if flagged:
        columns += ["easy error %", "hard error %"]
    cells = []
    for summary in summarise(rows):
        change = summary.relative_change
        line = [
            summary.arm,
            str(summary.num_classes),
            str(summary.num_seeds),
            percent(summary),
            "" if change is None else f"{100 * change:+.1f} %",
        ]
        if flagged:
            line += [percent(easy[summary.arm]), percent(hard[summary.arm])]
        cells.append(line)
    return columns, cells


def percent(summary: ArmSummary) -> str:
    """Mean ± standard deviation in percent; without the latter for one seed."""
    if summary.num_seeds < 2:
        return f"{100 * summary.mean:.2f}"
    return f"{100 * summary.mean:.2f} ± {100 * summary.deviation:.2f}"


def format_table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A table for the terminal: the first column to the left, the others to the right."""
    lines = [list(columns), *map(list, cells)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    text = []
    for line in lines:
        first = line[0].ljust(widths[0])
        text.append("  ".join([first, *(c.rjust(w) for c, w in zip(line[1:], widths[1:]))]))
    return "\n".join([text[0], "-" * len(text[0]), *text[1:]])
