"""Which test images are hard, as runs of other seeds find them, and which of these an arm wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.analysis.predictions import StoredPredictions
from fine2coarse.analysis.uses import (
    TRANSFERRED,
    ComparisonError,
    check_same_images,
    predictions_in_use,
)
from fine2coarse.recipes.names import BASELINE

MARGIN, MISSED = "margin", "missed"
SPLITS = {
    MARGIN: "the half with the smaller mean margin",
    MISSED: "those missed by more than half of the runs",
}
BySeed = Mapping[int, StoredPredictions]


def paired_predictions(
    runs: Sequence[FinishedRun], use: str, baseline: str
) -> tuple[dict[str, BySeed], BySeed]:
    """Predictions of each arm that shares 2 seeds or more with the baseline.

    Args:
      runs: tested on the same images.
      use: of the arms, 'transferred' or 'direct'.
      baseline: the arm that the others are compared with.

    Returns:
      Arm → its predictions at the seeds that the baseline has too, arms by number of classes; and
      the baseline's predictions at all of its seeds.

    Raises:
      ComparisonError: where no arm shares 2 seeds with the baseline.
    """
    check_same_images(runs)
    arms = predictions_in_use(runs, use, baseline)
    base = arms.pop(baseline, {})
    shared = {
        arm: {seed: predictions for seed, predictions in of_seed.items() if seed in base}
        for arm, of_seed in arms.items()
    }
    paired = {arm: of_seed for arm, of_seed in shared.items() if len(of_seed) > 1}
    if not paired:
        raise ComparisonError(
            f"easy and hard images are split by runs of other seeds: expected an arm and "
            f"{baseline!r} with at least 2 seeds in common, got "
            f"{ {arm: len(of_seed) for arm, of_seed in shared.items()} or 'no arm' }; add seeds"
        )
    classes = {run.arm: run.num_classes for run in reversed(runs)}
    return dict(sorted(paired.items(), key=lambda item: (classes[item[0]], item[0]))), base


def wrong_table(of_seed: BySeed) -> np.ndarray:
    """Float [S, N], 1 where the model of a seed is wrong."""
    return np.stack([predictions.wrong for predictions in of_seed.values()]).astype(np.float64)


def hard_by_others(split_by: str, models: BySeed, seeds: Sequence[int]) -> np.ndarray:
    """Bool [S, N]: the images hard at each seed, by the models of all other seeds."""
    return np.stack(
        [hard_by(split_by, [one for s, one in models.items() if s != seed]) for seed in seeds]
    )


def hard_by(split_by: str, models: Sequence[StoredPredictions]) -> np.ndarray:
    """Bool [N]: the images that these models find hard.

    Args:
      split_by: 'margin' or 'missed', see `SPLITS`.
      models: their predictions for the same images.
    """
    if split_by == MISSED:
        return _most(np.stack([predictions.wrong for predictions in models]))
    margins = np.mean([predictions.margins for predictions in models], 0)
    hard = np.zeros(len(margins), bool)
    hard[np.argsort(margins, kind="stable")[: len(margins) // 2]] = True
    return hard


def hard_wins(
    runs: Sequence[FinishedRun],
    arm: str,
    *,
    use: str = TRANSFERRED,
    baseline: str = BASELINE,
) -> list[str]:
    """Images that show best what an arm wins: chosen by the predictions, so no measure of anything.

    An image is listed where it is hard by the held-out margin split in most seeds, and the arm is
    right and the baseline wrong in most of the seeds that both have.

    Args:
      runs: tested on the same images.
      arm: whose wins.
      use: of the arm, 'transferred' or 'direct'.
      baseline: the arm that it is compared with.

    Returns:
      Image ids: first those with the most seeds in which the arm is right and the baseline wrong;
      among equals those whose mean margin rises most from the baseline to the arm, then by id.

    Raises:
      ComparisonError: where arm and baseline share fewer than 2 seeds.
    """
    arms, base = paired_predictions(runs, use, baseline)
    if arm not in arms:
        raise ComparisonError(
            f"no arm {arm!r} shares 2 seeds with {baseline}; {', '.join(arms)} do"
        )
    ours = arms[arm]
    theirs = {seed: base[seed] for seed in ours}
    hard = hard_by_others(MARGIN, base, list(ours))
    right, wrong = ~wrong_table(ours).astype(bool), wrong_table(theirs).astype(bool)
    chosen = _most(right) & _most(wrong) & _most(hard)
    wins = (right & wrong).sum(0)
    rise = np.mean([ours[seed].margins - theirs[seed].margins for seed in ours], 0)
    ids = next(iter(ours.values())).image_ids
    order = sorted(np.flatnonzero(chosen), key=lambda i: (-wins[i], -rise[i], ids[i]))
    return [str(ids[i]) for i in order]


def _most(table: np.ndarray) -> np.ndarray:
    return table.mean(0) > 0.5
