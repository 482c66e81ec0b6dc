"""The page of an experiment series: its questions, pictures, and verdicts on stated bounds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fine2coarse.files import write_atomic
from fine2coarse.report import page
from fine2coarse.report.figures import COLOURS, MARKERS, saved_figure
from fine2coarse.theory.statements import Verdict


@dataclass(frozen=True)
class Series:
    """A line with its band: x, mean, low, high for each point."""

    label: str
    points: Sequence[tuple[float, float, float, float]]


@dataclass(frozen=True)
class ExperimentSection:
    """One experiment on the page."""

    title: str
    question: str
    pictures: Sequence[tuple[str | os.PathLike, str]]  # PNG file, what it shows
    verdicts: Sequence[Verdict]
    source: str  # where the numbers lie

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """Of the table of verdicts: statement, measured, bound, verdict."""
        return [(one.statement, one.measured, one.bound, one.word) for one in self.verdicts]


def draw(
    path: str | os.PathLike,
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    x_scale: str = "linear",
    reference: float | None = None,
) -> None:
    """Draws lines with 95% bands to a PNG file.

    x_scale: "linear", "log2", "log10" or "symlog" (logarithmic, with zero).
    reference: height of a dashed horizontal line.

    Raises:
      ValueError: another scale.
    """
    values = sorted({point[0] for line in series for point in line.points})
    with saved_figure(path) as axes:
        for index, line in enumerate(series):
            x, mean, low, high = zip(*line.points, strict=True)
            style = {"color": COLOURS[index % len(COLOURS)]}
            # Hidden under others, a line still shows: later ones are thinner.
            axes.plot(
                x, mean, marker=MARKERS[index % len(MARKERS)], markersize=6,
                linewidth=max(1.2, 3 - 0.4 * index), label=line.label, **style,
            )  # fmt: skip
            axes.fill_between(x, low, high, alpha=0.18, linewidth=0, **style)
        if reference is not None:
            axes.axhline(reference, color="#5b6670", linestyle="--", linewidth=1)
        _scale_axis(axes, x_scale, values)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        if len(series) > 1:
            axes.figure.legend(loc="outside upper left", ncols=2, fontsize=10)


def _scale_axis(axes, x_scale, values):
    scales = {
        "linear": {"value": "linear"},
        "log2": {"value": "log", "base": 2},
        "log10": {"value": "log"},
        "symlog": {"value": "symlog", "linthresh": min((v for v in values if v > 0), default=1)},
    }
    if x_scale not in scales:
        raise ValueError(f"x_scale is {x_scale!r}: expected one of {', '.join(scales)}")
    axes.set_xscale(**scales[x_scale])
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()


def write_page(
    path: str | os.PathLike,
    title: str,
    answer: str,
    facts: Mapping[str, object],
    sections: Sequence[ExperimentSection],
) -> None:
    """Writes the page: the answer, the settings, then every section."""
    text = page.render(
        "theory.html", title=title, answer=answer, settings=list(facts.items()), sections=sections
    )
    write_atomic(path, text)
