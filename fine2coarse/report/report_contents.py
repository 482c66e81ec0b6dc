"""What the sections are made of: runs read, arms compared, pictures drawn and shown."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from fine2coarse.analysis.comparison import ArmComparison
from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.analysis.hardness import Hardness, hardness
from fine2coarse.analysis.merging import Merged
from fine2coarse.analysis.statistics import compare
from fine2coarse.analysis.uses import TRANSFERRED, ComparisonError, have_predictions
from fine2coarse.recipes.names import DIRECT
from fine2coarse.report import page, pictures
from fine2coarse.report.stored_thumbnails import ReadImages

PICTURES, TABLES = "pictures", "tables"
_MEANS_ONLY = (
    "Some runs have no predictions for single images (predictions.npz), as in early versions: this "
    "page has means, but no intervals, no verdicts and no easy and hard images."
)


@dataclasses.dataclass(frozen=True, eq=False)
class ReportContents:
    """What the sections are made of.

    Attributes:
      merged: the studies.
      comparisons: of the arms with the baseline, over all images.
      hardness: use → gains on easy and hard images; empty where images cannot be split into these.
      why_no_hardness: the reason; '' where there is none to give.
      out: folder of the report.
      read_images: reads thumbnails that no study has yet; None where that cannot be.
    """

    merged: Merged
    comparisons: Sequence[ArmComparison]
    hardness: Mapping[str, Hardness]
    why_no_hardness: str
    out: pathlib.Path
    read_images: ReadImages | None

    @property
    def runs(self) -> Sequence[FinishedRun]:
        """Of all studies."""
        return self.merged.runs

    @property
    def runs_by_classes(self) -> list[FinishedRun]:
        """The runs in the order of the comparisons: the baseline's, then by number of classes."""
        order = [comparison.arm for comparison in self.comparisons]
        return sorted(self.runs, key=lambda run: order.index(run.arm))


def gather_contents(
    merged: Merged, out: pathlib.Path, read_images: ReadImages | None
) -> ReportContents:
    """Compares the arms, over all images and over easy and hard ones.

    Raises:
      ComparisonError: where runs were tested on different images.
      RunError: where a run's predictions are damaged.
    """
    comparisons = compare(merged.runs)
    if not have_predictions(merged.runs):
        merged = dataclasses.replace(merged, notes=[*merged.notes, _MEANS_ONLY])
        return ReportContents(merged, comparisons, {}, "", out, None)
    found, why_not = {}, ""
    try:
        found[TRANSFERRED] = hardness(merged.runs)
    except ComparisonError as error:
        why_not = f"Not shown: {error}."
    with contextlib.suppress(ComparisonError):  # no arm has a direct use, or at one seed alone
        found[DIRECT] = hardness(merged.runs, use=DIRECT)
    return ReportContents(merged, comparisons, found, why_not, out, read_images)


def draw_figure(
    contents: ReportContents,
    name: str,
    draw: Callable[[pathlib.Path, float], None],
    *,
    alt: str,
    caption: str,
) -> Markup:
    """Draws a picture of a report at both widths, and shows it."""
    return draw_in(contents.out, name, draw, alt=alt, caption=caption)


def draw_in(
    out: pathlib.Path,
    name: str,
    draw: Callable[[pathlib.Path, float], None],
    *,
    alt: str,
    caption: str,
) -> Markup:
    """Draws a picture at both widths into a report's folder, and shows it."""
    folder = out / PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    wide, narrow = folder / f"{name}.svg", folder / f"{name}-narrow.svg"
    draw(wide, pictures.WIDE)
    draw(narrow, pictures.NARROW)
    return page.figure(wide, alt=alt, caption=caption, narrow=narrow)
