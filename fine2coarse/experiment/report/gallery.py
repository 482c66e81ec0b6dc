"""Hard images that the best arm gets right and the baseline wrong."""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fine2coarse.experiment.report import thumbnails
from fine2coarse.experiment.run_folder import BASELINE
from fine2coarse.reporting import page

if TYPE_CHECKING:
    from fine2coarse.experiment.outcomes import Outcome

MAX_IMAGES = 15


def section(
    arm: str,
    image_ids: Sequence[str],
    outcomes: Sequence[Outcome],
    class_names: Sequence[str],
    workdirs: Sequence[pathlib.Path],
) -> list[str]:
    """HTML of the gallery.

    Args:
      arm: the best one.
      image_ids: of the hard images that it gets right and the baseline wrong, best examples first.
      outcomes: of all arms.
      class_names: of the target.
      workdirs: folders where thumbnails may lie.
    """
    if not image_ids:
        text = f"There is no hard image that {arm} gets right and the baseline wrong in most seeds."
        return [page.paragraph(text)]
    found = [(image_id, thumbnails.find(workdirs, image_id)) for image_id in image_ids]
    shown = [(image_id, path) for image_id, path in found if path is not None][:MAX_IMAGES]
    if not shown:
        text = (
            f"{len(image_ids):,} images; they are left out here, because neither their thumbnails "
            "nor the prepared data could be read. Give launch/report.py the --data_dir of the "
            "prepared data to have them."
        )
        return [page.paragraph(text)]
    text = (
        f"{len(image_ids):,} hard images are missed by the baseline and not by {arm} in most "
        f"seeds; here are {len(shown)} of them. They are picked for that: they show what is "
        "gained, not how much."
    )
    answers = {name: _answers(outcomes, name) for name in (BASELINE, arm)}
    row_of = {str(image_id): row for row, image_id in enumerate(outcomes[0].image_ids)}
    pictures = []
    for image_id, path in shown:
        row = row_of[image_id]
        truth = class_names[outcomes[0].targets[row]]
        lines = [(truth, "")]
        for name in (BASELINE, arm):
            lines.append(_told(name, answers[name][:, row], class_names, truth))
        pictures.append((page.image(path, alt=_alt(truth, lines)), lines))
    return [page.paragraph(text), page.gallery(pictures)]


def _answers(outcomes: Sequence[Outcome], arm: str) -> np.ndarray:
    """Predicted classes of an arm: int [seeds, images]."""
    return np.stack([outcome.predicted for outcome in outcomes if outcome.arm == arm])


def _told(
    arm: str, predicted: np.ndarray, class_names: Sequence[str], truth: str
) -> tuple[str, str]:
    """An arm's most frequent answer to an image, with its number of seeds."""
    (answer, votes), *_ = Counter(class_names[p] for p in predicted).most_common(1)
    seeds = f" ({votes} of {len(predicted)} seeds)" if votes < len(predicted) else ""
    return f"{arm}: {answer}{seeds}", "right" if answer == truth else "wrong"


def _alt(truth: str, lines: Sequence[tuple[str, str]]) -> str:
    return f"An image of {truth}. " + "; ".join(f"{text}, {kind}" for text, kind in lines[1:])
