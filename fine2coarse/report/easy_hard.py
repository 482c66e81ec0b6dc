"""Easy and hard images: what each arm gains on either, with the controls."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

from fine2coarse import formats
from fine2coarse.analysis import results
from fine2coarse.analysis.gains import Gain
from fine2coarse.analysis.hard_images import SPLITS
from fine2coarse.analysis.hardness import ArmHardness
from fine2coarse.analysis.intervals import Interval
from fine2coarse.recipes.names import BASELINE
from fine2coarse.report.figures import COLOURS, saved_figure
from fine2coarse.report.pictures import WIDE, add_legend
from fine2coarse.report.points import shortened
from fine2coarse.report.tables import Table, interval_columns

METHOD = (
    "At each seed, the baseline's runs of the other seeds say which images are hard; the gain "
    "(baseline's error minus the arm's) is then measured with the runs of this seed, in percentage "
    "points. No run is evaluated on a split that it made itself."
)
TWO_USES = (
    "The theory is about a readout from the outputs of the fine classes: its prediction, more "
    "gain on hard images, concerns the direct use. Where the transferred use gains less on hard "
    "images, the transfer forgot some of it."
)
CONTROLS = (
    "Mirror image: the same with arm and baseline exchanged, images split by the arm's own runs. "
    "What is hard for one recipe alone favours any other, better or not; between recipes of one "
    "kind both differences are alike.",
    "Excess: half the difference between the two, which is the arm's gain, hard minus easy, as a "
    "mean over the split that the baseline makes and the one that the arm makes. Zero, on average, "
    "for recipes of one kind.",
    "Random split: as many images called hard at random; the middle 95 % of 100 splits. There, "
    "hard minus easy can only be chance.",
    "Same seed: split by the run that is compared with. Its unlucky images look hard, and any "
    "other run does better there (regression to the mean); shown as a warning.",
)


def title(arm: ArmHardness, arms: Sequence[ArmHardness]) -> str:
    """Its name; with the use where several arms here, or this one twice, are in different uses."""
    return f"{arm.arm} ({arm.use})" if len({other.use for other in arms}) > 1 else arm.arm


def draw_gains(path: pathlib.Path, arms: Sequence[ArmHardness], width_inches: float = WIDE) -> None:
    """Gain of each arm on easy and on hard images, in percentage points, a line an arm."""
    height_inches = 1.5 + 0.45 * len(arms)
    with saved_figure(path, width_inches, height_inches) as axis:
        for offset, part, colour, marker in (
            (-0.13, "hard", COLOURS[1], "o"),
            (0.13, "easy", COLOURS[5], "s"),
        ):
            gains = [getattr(arm.held_out, part) for arm in arms]
            axis.errorbar(
                [100 * gain.estimate for gain in gains],
                [row + offset for row in range(len(arms))],
                xerr=[
                    [100 * (gain.estimate - gain.low) for gain in gains],
                    [100 * (gain.high - gain.estimate) for gain in gains],
                ],
                linestyle="none",
                color=colour,
                marker=marker,
                markersize=7,
                capsize=3,
                label=f"{part} images",
            )
        axis.axvline(0, color="#000000", linewidth=1)
        axis.set_yticks(range(len(arms)), [_two_lines(arm, arms) for arm in arms])
        axis.set_ylim(len(arms) - 0.5, -0.5)
        axis.set_xlabel("errors avoided (points)")
        add_legend(axis, width_inches, columns=3)


def _two_lines(arm: ArmHardness, arms: Sequence[ArmHardness]) -> str:
    """The title in a picture: the use under the name."""
    name = shortened(arm.arm)
    return name if title(arm, arms) == arm.arm else f"{name}\n({arm.use})"


def gains_table(arms: Sequence[ArmHardness]) -> Table:
    """How much was there to gain, and what was gained; arms of one split."""
    split_by = arms[0].split_by
    return Table(
        name=f"gains-{split_by}",
        caption=f"Hard: {SPLITS[split_by]}. Baseline's error on either part, and what the arm "
        "gains there, in percentage points.",
        columns=["arm", "hard", "easy error %", "hard error %", "gain, easy", "gain, hard"],
        cells=[
            [
                title(arm, arms),
                f"{formats.percent(arm.hard_share)} %",
                formats.percent(arm.held_out.easy_error),
                formats.percent(arm.held_out.hard_error),
                formats.interval(arm.held_out.easy, signed=True),
                formats.interval(arm.held_out.hard, signed=True),
            ]
            for arm in arms
        ],
        records=[_record(arm) for arm in arms],
    )


def controls_table(arms: Sequence[ArmHardness]) -> Table:
    """Whether more is gained on hard images, beside what would be seen in any case."""
    split_by = arms[0].split_by
    shown = [(arm, _controls(arm)) for arm in arms]
    return Table(
        name=f"controls-{split_by}",
        caption=f"Hard: {SPLITS[split_by]}. Gain on hard images minus gain on easy ones, and its "
        "controls; percentage points.",
        columns=["arm", "hard − easy", "mirror image", "excess", "random split", "same seed"],
        cells=[
            [title(arm, arms), *(formats.interval(value, signed=True) for value in values.values())]
            for arm, values in shown
        ],
        records=[
            {"arm": arm.arm, "use": arm.use, "split_by": arm.split_by, **_columns(values)}
            for arm, values in shown
        ],
    )


def _controls(arm: ArmHardness) -> dict[str, Interval]:
    return {
        "held_out": arm.held_out.difference,
        "mirror": arm.mirror.difference,
        "excess": arm.excess,
        "random": arm.random_difference,
        "same_seed": arm.same_seed.difference,
    }


def _record(arm: ArmHardness) -> dict[str, object]:
    gain: Gain = arm.held_out
    return {
        "arm": arm.arm,
        "use": arm.use,
        "num_classes": arm.num_classes,
        "num_pairs": arm.num_pairs,
        "split_by": arm.split_by,
        "hard_share": arm.hard_share,
        "easy_error": gain.easy_error,
        "hard_error": gain.hard_error,
        **_columns({"easy_gain": gain.easy, "hard_gain": gain.hard}),
    }


def _columns(intervals: Mapping[str, Interval]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in intervals.items():
        found |= interval_columns(name, value)
    return found


# Which error on flagged images → its heading.
_FLAGGED = {
    "easy": "easy images",
    "hard": "hard images",
    "direct_easy": "direct, easy images",
    "direct_hard": "direct, hard images",
}


def flagged_table(rows: Sequence[results.Row]) -> Table | None:
    """Errors on images that the dataset itself flags as easy or hard; None where it does not."""
    found = {which: {s.arm: s for s in results.summarise(rows, which)} for which in _FLAGGED}
    if not found["easy"] or not found["hard"]:
        return None
    found = {which: summaries for which, summaries in found.items() if summaries}
    arms = [summary.arm for summary in results.summarise(rows) if summary.arm in found["hard"]]
    return Table(
        name="flagged",
        caption="Images that the dataset itself flags as easy or hard: error %, mean ± standard "
        "deviation over seeds.",
        columns=["arm", *(_FLAGGED[which] for which in found)],
        cells=[
            [arm, *(of[arm].percent if arm in of else "" for of in found.values())] for arm in arms
        ],
        records=[_flagged_record(arm, found) for arm in arms],
        row_classes=["baseline" if arm == BASELINE else "" for arm in arms],
    )


def _flagged_record(
    arm: str, found: Mapping[str, Mapping[str, results.ArmSummary]]
) -> dict[str, object]:
    record: dict[str, object] = {"arm": arm}
    for which, summaries in found.items():
        summary = summaries.get(arm)
        record[f"{which}_error"] = "" if summary is None else summary.mean
        record[f"{which}_deviation"] = "" if summary is None else summary.deviation
    return record
