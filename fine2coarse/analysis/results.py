"""The rows of a study, and what they say of each arm."""

from __future__ import annotations

import csv
import dataclasses
import io
import pathlib
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from fine2coarse import formats
from fine2coarse.files import write_atomic
from fine2coarse.recipes.names import BASELINE

# Which error → the columns of its wrong images and of all of them, and of the baseline's error
# that it is compared with: the baseline has no direct use.
_COUNTS = {
    "all": ("num_wrong", "num_images", "all"),
    "easy": ("easy_wrong", "easy_images", "easy"),
    "hard": ("hard_wrong", "hard_images", "hard"),
    "direct": ("direct_wrong", "num_images", "all"),
    "direct_argmax": ("direct_argmax_wrong", "num_images", "all"),
    "direct_easy": ("direct_easy_wrong", "easy_images", "easy"),
    "direct_hard": ("direct_hard_wrong", "hard_images", "hard"),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One run of an arm: pretraining and transfer, or the baseline's training.

    Errors are kept as counts, None where they are not known: `easy_*` and `hard_*` where the
    dataset flags no images, `direct_*` (the pretrained model used as it is) for the baseline and
    where pretraining was not tested on the target. Images and seconds are of training alone, every
    transfer that was tried included; all but the seconds is fixed by recipe and seed.
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
    direct_wrong: int | None = None
    direct_argmax_wrong: int | None = None
    direct_easy_wrong: int | None = None
    direct_hard_wrong: int | None = None
    transfer: str = ""

    def error(self, which: str = "all") -> float | None:
        """Share of wrong images.

        Args:
          which: 'all', 'easy' or 'hard' images, or of the direct use 'direct', 'direct_argmax',
            'direct_easy' or 'direct_hard'.

        Returns:
          A fraction; None where it is not known.
        """
        wrong, images = (getattr(self, column) for column in _COUNTS[which][:2])
        return wrong / images if images and wrong is not None else None


@dataclasses.dataclass(frozen=True)
class ArmSummary:
    """An arm over its seeds.

    Attributes:
      arm: its name.
      num_classes: of its label space.
      num_seeds: runs.
      mean: mean error over the seeds; a fraction.
      deviation: standard deviation over the seeds (n - 1); None for one seed.
      relative_change: mean over baseline's mean, minus one, over the seeds that both have; None
        for the baseline itself or without one.
    """

    arm: str
    num_classes: int
    num_seeds: int
    mean: float
    deviation: float | None
    relative_change: float | None

    @property
    def percent(self) -> str:
        """Mean ± standard deviation in percent; without the latter for one seed."""
        return formats.mean_deviation(self.mean, self.deviation)


def summarise(rows: Sequence[Row], which: str = "all") -> list[ArmSummary]:
    """Each arm's error, in order of its number of classes; `which` as in `Row.error`.

    Arms whose error is not known are left out.
    """
    by_arm: dict[str, dict[int, float]] = {}
    for row in rows:
        if row.error(which) is not None:
            by_arm.setdefault(row.arm, {})[row.seed] = row.error(which)
    baseline = {r.seed: r.error(_COUNTS[which][2]) for r in rows if r.arm == BASELINE}
    classes = {row.arm: row.num_classes for row in reversed(rows)}
    summaries = []
    for arm, errors in by_arm.items():
        shared = [seed for seed in errors if baseline.get(seed) is not None]
        change = None
        if arm != BASELINE and shared:
            ours = statistics.fmean(errors[seed] for seed in shared)
            theirs = statistics.fmean(baseline[seed] for seed in shared)
            change = ours / theirs - 1 if theirs else None
        found = list(errors.values())
        deviation = statistics.stdev(found) if len(found) > 1 else None
        summaries.append(
            ArmSummary(arm, classes[arm], len(found), statistics.fmean(found), deviation, change)
        )
    return sorted(summaries, key=lambda s: (s.arm != BASELINE, s.num_classes, s.arm))


def chosen_transfers(rows: Iterable[Row]) -> dict[str, str]:
    """Arm → the transfers chosen over its seeds, such as `summed` or `summed ×2, direct`."""
    names: dict[str, Counter[str]] = {}
    for row in rows:
        names.setdefault(row.arm, Counter())[row.transfer] += bool(row.transfer)
    return {arm: _counted(counter) for arm, counter in names.items()}


def _counted(names: Counter[str]) -> str:
    chosen = [(name, times) for name, times in names.most_common() if times]
    if len(chosen) == 1:
        return chosen[0][0]
    return ", ".join(name if times == 1 else f"{name} ×{times}" for name, times in chosen)


def write_csv(path: pathlib.Path, rows: Iterable[Row]) -> None:
    """Writes `results.csv`, a row a run, whole or not at all; several processes may write it."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(Row)])
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in rows)
    write_atomic(path, text.getvalue())


# Columns of the table for the terminal that are shown where anything is known of them.
_MORE_COLUMNS = {
    "direct": "direct error %",
    "direct_argmax": "direct, argmax %",
    "easy": "easy error %",
    "hard": "hard error %",
    "direct_easy": "direct, easy %",
    "direct_hard": "direct, hard %",
}


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the summary: percentages, mean ± standard deviation over seeds."""
    columns = ["arm", "classes", "seeds", "top-1 error %", "change vs baseline"]
    more = {which: {s.arm: s for s in summarise(rows, which)} for which in _MORE_COLUMNS}
    more = {which: summaries for which, summaries in more.items() if summaries}
    columns += [_MORE_COLUMNS[which] for which in more]
    transfers = chosen_transfers(rows)
    columns += ["transfer"] if any(transfers.values()) else []
    cells = []
    for summary in summarise(rows):
        change = summary.relative_change
        line = [
            summary.arm,
            str(summary.num_classes),
            str(summary.num_seeds),
            summary.percent,
            "" if change is None else f"{100 * change:+.1f} %",
            *(of[summary.arm].percent if summary.arm in of else "" for of in more.values()),
        ]
        cells.append([*line, transfers[summary.arm]] if any(transfers.values()) else line)
    return columns, cells
