"""What an arm gains within each class of the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from fine2coarse import formats
from fine2coarse.analysis.hardness import SuperclassGain
from fine2coarse.report import page
from fine2coarse.report.tables import Table, interval_columns

if TYPE_CHECKING:
    from fine2coarse.analysis.comparison import Comparison

_MOST_SHOWN = 14  # of more classes, the ends are shown and the rest is folded


def section(best: Comparison, gains: Sequence[SuperclassGain]) -> list[Markup]:
    """HTML of the gains of one arm in one use, largest first."""
    ordered = [gain for gain in gains if (gain.arm, gain.use) == (best.arm, best.use)]
    ordered.sort(key=lambda gain: -gain.gain.estimate)
    if not ordered:
        return []
    caption = (
        f"Gain of {best.title}: baseline's error minus its own, in percentage points, with 95 % "
        "intervals that are not corrected for the number of classes. Hard: share of the images "
        "that the held-out baseline finds hard, by margin."
    )
    if len(ordered) <= _MOST_SHOWN:
        return [table(ordered, caption).html("Gain within each class of the target")]
    half = _MOST_SHOWN // 2
    ends = table([*ordered[:half], *ordered[-half:]], f"{caption} The {half} largest and smallest.")
    whole = table(ordered, "").html("Gain within every class")
    return [ends.html("Largest and smallest gains"), page.folded(f"All {len(ordered)}", whole)]


def table(gains: Sequence[SuperclassGain], caption: str) -> Table:
    """A row a class and arm."""
    return Table(
        name="superclasses",
        caption=caption,
        columns=["class", "images", "hard", "baseline error %", "gain"],
        cells=[
            [
                gain.class_name,
                f"{gain.num_images:,}",
                f"{formats.percent(gain.hard_share, 0)} %",
                formats.percent(gain.baseline_error),
                formats.interval(gain.gain, signed=True),
            ]
            for gain in gains
        ],
        records=[
            {
                "arm": gain.arm,
                "use": gain.use,
                "class": gain.class_name,
                "num_images": gain.num_images,
                "hard_share": gain.hard_share,
                "baseline_error": gain.baseline_error,
                **interval_columns("gain", gain.gain),
            }
            for gain in gains
        ],
    )
