"""Hard images that the best arm gets right and the baseline wrong."""

from __future__ import annotations

import contextlib
import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.analysis.hard_images import hard_wins
from fine2coarse.analysis.uses import USES, ComparisonError, predictions_in_use
from fine2coarse.recipes.names import BASELINE
from fine2coarse.report import page, stored_thumbnails
from fine2coarse.report.stored_thumbnails import ReadImages

if TYPE_CHECKING:
    from fine2coarse.analysis.comparison import Comparison

MAX_IMAGES = 12


def store_wins(
    runs: Sequence[FinishedRun], places: Sequence[pathlib.Path], read_images: ReadImages | None
) -> str:
    """Stores thumbnails of what a gallery of any arm may show, for a later merge to choose from.

    Args:
      runs: of all arms.
      places: folders where thumbnails may lie; new ones go into the last.
      read_images: gives those that are missing; None where they cannot be read.

    Returns:
      Why images could not be read; empty where they could.
    """
    if read_images is None:
        return "neither their thumbnails nor the prepared data are here"
    wanted: dict[str, None] = {}
    for use in USES:
        for arm in predictions_in_use(runs, use, BASELINE):
            with contextlib.suppress(ComparisonError):  # an arm of too few seeds has no gallery
                wanted |= dict.fromkeys(hard_wins(runs, arm, use=use)[:MAX_IMAGES])
    try:
        stored_thumbnails.store(places[-1], places, list(wanted), read_images)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        return f"the prepared data could not be read ({error})"
    return ""


def section(
    best: Comparison, runs: Sequence[FinishedRun], places: Sequence[pathlib.Path], reason: str
) -> list[Markup]:
    """HTML of the gallery.

    Args:
      best: the best arm in its better use.
      runs: of all arms.
      places: folders where thumbnails may lie.
      reason: why some could not be read, if they could not.
    """
    image_ids, title = hard_wins(runs, best.arm, use=best.use), best.title
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
            "`fine2coarse report` the --data_dir of the prepared data to have them."
        )
        return [page.paragraph(text)]
    text = (
        f"{len(image_ids):,} hard images are missed by the baseline and not by {title} in most "
        f"seeds; here are {len(shown)} of them. They are picked for that: they show what is "
        "gained, not how much. Bold: the true class."
    )
    return [page.paragraph(text), page.gallery(_pictures(shown, best, runs))]


def _pictures(
    shown: Sequence[tuple[str, pathlib.Path]], best: Comparison, runs: Sequence[FinishedRun]
) -> list[page.GalleryPicture]:
    """Each image with its true class, and the predictions of baseline and arm."""
    class_names = runs[0].class_names()
    predictions = predictions_in_use(runs, best.use, BASELINE)
    predicted = {
        name: np.stack([one.predicted for one in predictions[arm].values()])  # [seeds, images]
        for name, arm in ((BASELINE, BASELINE), (best.title, best.arm))
    }
    first = next(iter(predictions[BASELINE].values()))
    row_of = {str(image_id): row for row, image_id in enumerate(first.image_ids)}
    pictures = []
    for image_id, path in shown:
        row = row_of[image_id]
        truth = class_names[first.targets[row]]
        told = [_told(name, of[:, row], class_names, truth) for name, of in predicted.items()]
        lines = [(truth, "truth"), *told]
        pictures.append(page.GalleryPicture(path, _alt(truth, lines), lines))
    return pictures


def _told(
    name: str, predicted: np.ndarray, class_names: Sequence[str], truth: str
) -> tuple[str, str]:
    """An arm's most frequent prediction for an image, with its number of seeds."""
    (prediction, votes), *_ = Counter(class_names[p] for p in predicted).most_common(1)
    seeds = f" ({votes} of {len(predicted)} seeds)" if votes < len(predicted) else ""
    return f"{name}: {prediction}{seeds}", "right" if prediction == truth else "wrong"


def _alt(truth: str, lines: Sequence[tuple[str, str]]) -> str:
    return f"An image of {truth}. " + "; ".join(f"{text}, {kind}" for text, kind in lines[1:])
