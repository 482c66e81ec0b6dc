"""What the sections are made of: runs read, arms compared, pictures drawn and shown."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence

from fine2coarse.analysis import means_only, sentences, statistics
from fine2coarse.analysis.comparison import ArmComparison
from fine2coarse.analysis.hardness import Hardness, hardness
from fine2coarse.analysis.merging import Merged
from fine2coarse.analysis.outcomes import (
    DIRECT,
    TRANSFERRED,
    Outcome,
    OutcomeError,
    load_outcomes,
)
from fine2coarse.report import page, pictures
from fine2coarse.report.stored_thumbnails import ReadImages

PICTURES, TABLES = "pictures", "tables"


@dataclasses.dataclass(frozen=True, eq=False)
class Material:
    """What the sections are made of.

    Attributes:
      merged: the studies.
      outcomes: every run's answers; empty where some run did not keep them.
      comparisons: of the arms with the baseline, over all images.
      answer: in one sentence.
      losses: arms whose transfer lost what pretraining had learnt, and what to try.
      found: use → gains on easy and hard images; empty where these cannot be told apart.
      why_not: the reason.
      out: folder of the report.
      read_images: reads thumbnails that no study has yet; None where that cannot be.
    """

    merged: Merged
    outcomes: Sequence[Outcome]
    comparisons: Sequence[ArmComparison]
    answer: str
    losses: Sequence[str]
    found: Mapping[str, Hardness]
    why_not: str
    out: pathlib.Path
    read_images: ReadImages | None


def gather(merged: Merged, out: pathlib.Path, read_images: ReadImages | None) -> Material:
    """Reads the answers and compares the arms."""
    if not all(run.has_predictions for run in merged.runs):
        comparisons = means_only.compare([run.row for run in merged.runs])
        merged = dataclasses.replace(merged, notes=[*merged.notes, means_only.NOTE])
        answer = means_only.headline(comparisons)
        return Material(merged, [], comparisons, answer, [], {}, "", out, None)
    outcomes = _outcomes(merged)
    comparisons = statistics.compare(outcomes)
    answer = sentences.headline(comparisons)
    losses = sentences.transfer_losses(comparisons, merged.recipe)
    found, why_not = {}, ""
    try:
        found[TRANSFERRED] = hardness(outcomes)
    except OutcomeError as error:
        why_not = f"Not shown: {error}."
    with contextlib.suppress(OutcomeError):  # where no arm has a direct use, or at one seed alone
        found[DIRECT] = hardness(outcomes, use=DIRECT)
    return Material(merged, outcomes, comparisons, answer, losses, found, why_not, out, read_images)


def _outcomes(merged: Merged) -> list[Outcome]:
    """Of the merged runs, under their names on the page."""
    of_folder = {
        outcome.folder.resolve(): outcome
        for study in merged.studies
        for outcome in load_outcomes(study.workdir)
    }
    return [dataclasses.replace(of_folder[run.final.resolve()], arm=run.arm) for run in merged.runs]


def figure(
    material: Material,
    name: str,
    draw: Callable[[pathlib.Path, float], None],
    *,
    alt: str,
    caption: str,
) -> str:
    """Draws a picture at both widths, and shows it."""
    folder = material.out / PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    wide, narrow = folder / f"{name}.svg", folder / f"{name}-narrow.svg"
    draw(wide, pictures.WIDE)
    draw(narrow, pictures.NARROW)
    return page.figure(wide, alt=alt, caption=caption, narrow=narrow)
