"""Hard images that the best arm gets right and the baseline wrong."""

from __future__ import annotations

import contextlib
import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fine2coarse.analysis.hardness import hard_wins
from fine2coarse.analysis.outcomes import (
    DIRECT,
    TRANSFERRED,
    Outcome,
    OutcomeError,
    in_use,
)
from fine2coarse.recipes.names import BASELINE
from fine2coarse.report import page, stored_thumbnails
from fine2coarse.report.stored_thumbnails import ReadImages

if TYPE_CHECKING:
    from fine2coarse.analysis.comparison import Comparison

MAX_IMAGES = 12


def store_thumbnails(
    outcomes: Sequence[Outcome], places: Sequence[pathlib.Path], read_images: ReadImages | None
) -> str:
    """Stores what a gallery of any arm may show, so that a later merge can choose another arm.

    Args:
      outcomes: of all arms.
      places: folders where thumbnails may lie; new ones go into the last.
      read_images: gives those that are missing; None where they cannot be read.

    Returns:
      Why images could not be read; empty where they could.
    """
    if read_images is None:
        return "neither their thumbnails nor the prepared data are here"
    wanted: dict[str, None] = {}
    for use in (TRANSFERRED, DIRECT):
        used = in_use(outcomes, use)
        for arm in dict.fromkeys(outcome.arm for outcome in used):
            with contextlib.suppress(OutcomeError):  # an arm of too few seeds has no gallery
                wanted |= dict.fromkeys(hard_wins(used, arm)[:MAX_IMAGES])
    try:
        stored_thumbnails.store(places[-1], places, list(wanted), read_images)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        return f"the prepared data could not be read ({error})"
    return ""


def section(
    best: Comparison, outcomes: Sequence[Outcome], places: Sequence[pathlib.Path], reason: str
) -> list[str]:
    """HTML of the gallery.

    Args:
      best: the best arm in its better use.
      outcomes: of all arms.
      places: folders where thumbnails may lie.
      reason: why some could not be read, if they could not.
    """
    outcomes, title = in_use(outcomes, best.use), best.title
    image_ids = hard_wins(outcomes, best.arm)
    class_names = outcomes[0].class_names()
    if not image_ids:
        text = (
            f"There is no hard image that {title} gets right and the baseline wrong in most seeds."
        )
        return [page.paragraph(text)]
    found = [(image_id, stored_thumbnails.find(places, image_id)) for image_id in image_ids]
    shown = [(image_id, path) for image_id, path in found if path is not None][:MAX_IMAGES]
    if not shown:
        text = (
            f"{len(image_ids):,} hard images are missed by the baseline and not by {title} in most "
            f"seeds. They are left out here: {reason or 'they are not in the prepared data'}. Give "
            "launch/report.py the --data_dir of the prepared data to have them."
        )
        return [page.paragraph(text)]
    text = (
        f"{len(image_ids):,} hard images are missed by the baseline and not by {title} in most "
        f"seeds; here are {len(shown)} of them. They are picked for that: they show what is "
        "gained, not how much. Bold: the true class."
    )
    answers = {
        name: _answers(outcomes, arm) for name, arm in ((BASELINE, BASELINE), (title, best.arm))
    }
    row_of = {str(image_id): row for row, image_id in enumerate(outcomes[0].image_ids)}
    pictures = []
    for image_id, path in shown:
        row = row_of[image_id]
        truth = class_names[outcomes[0].targets[row]]
        lines = [(truth, "truth")]
        for name, predicted in answers.items():
            lines.append(_told(name, predicted[:, row], class_names, truth))
        pictures.append((page.image(path, alt=_alt(truth, lines)), lines))
    return [page.paragraph(text), page.gallery(pictures)]


def _answers(outcomes: Sequence[Outcome], arm: str) -> np.ndarray:
    """Predicted classes of an arm: int [seeds, images]."""
    return np.stack([outcome.predicted for outcome in outcomes if outcome.arm == arm])


def _told(
    name: str, predicted: np.ndarray, class_names: Sequence[str], truth: str
) -> tuple[str, str]:
    """An arm's most frequent answer to an image, with its number of seeds."""
    (answer, votes), *_ = Counter(class_names[p] for p in predicted).most_common(1)
    seeds = f" ({votes} of {len(predicted)} seeds)" if votes < len(predicted) else ""
    return f"{name}: {answer}{seeds}", "right" if answer == truth else "wrong"


def _alt(truth: str, lines: Sequence[tuple[str, str]]) -> str:
    return f"An image of {truth}. " + "; ".join(f"{text}, {kind}" for text, kind in lines[1:])
