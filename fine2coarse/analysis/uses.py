"""An arm's two uses, and its runs seed by seed in either.

*Direct*: the pretrained model as it is, the probabilities of its classes summed into the target's.
*Transferred*: after the transfer. The baseline has one model, which counts as transferred.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import numpy as np

from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.analysis.predictions import StoredPredictions
from fine2coarse.errors import UsageError
from fine2coarse.recipes.names import DIRECT

TRANSFERRED = "transferred"
USES = (TRANSFERRED, DIRECT)
Use = tuple[str, str]  # an arm, and 'transferred' or 'direct'


class ComparisonError(UsageError):
    """Runs that cannot be compared: tested on other images, or too few for the question."""


def by_arm(runs: Iterable[FinishedRun]) -> dict[str, dict[int, FinishedRun]]:
    """Arm → seed → run, both in the order given.

    Raises:
      ComparisonError: where an arm has two runs of one seed.
    """
    found: dict[str, dict[int, FinishedRun]] = {}
    for run in runs:
        of_seed = found.setdefault(run.arm, {})
        if run.seed in of_seed:
            raise ComparisonError(
                f"arm {run.arm!r} has two runs of seed {run.seed}: {of_seed[run.seed].folder} and "
                f"{run.folder}; give one arm another name"
            )
        of_seed[run.seed] = run
    return found


def predictions_in_use(
    runs: Iterable[FinishedRun], use: str, baseline: str
) -> dict[str, dict[int, StoredPredictions]]:
    """Arm → seed → its predictions: the baseline's of its one model, all others' in one use.

    Args:
      runs: to look at.
      use: 'transferred' or 'direct'; runs that kept none of their direct use are left out.
      baseline: the arm that the others are compared with.

    Raises:
      ComparisonError: where an arm has two runs of one seed.
      RunError: where predictions are missing or damaged.
    """
    found: dict[str, dict[int, StoredPredictions]] = {}
    for arm, of_seed in by_arm(runs).items():
        is_direct = use == DIRECT and arm != baseline
        predictions = {
            seed: run.predictions.direct if is_direct else run.predictions.transferred
            for seed, run in of_seed.items()
        }
        known = {seed: one for seed, one in predictions.items() if one is not None}
        if known:
            found[arm] = known
    return found


def have_predictions(runs: Iterable[FinishedRun]) -> bool:
    """Whether all runs kept their predictions; those of early versions did not."""
    return all(run.predictions.are_stored for run in runs)


def check_same_images(runs: Sequence[FinishedRun]) -> None:
    """Checks that all runs were tested on the same images, in the same order, for one task.

    Raises:
      ComparisonError: naming two runs that differ.
      RunError: where a run's predictions are missing or damaged.
    """
    for run in runs[1:]:
        ours, theirs = run.predictions.transferred, runs[0].predictions.transferred
        if not ours.same_images(theirs):
            same_ids = np.array_equal(ours.image_ids, theirs.image_ids)
            raise ComparisonError(
                f"{run.tested_folder} was tested on {len(ours.targets)} images and "
                f"{runs[0].tested_folder} on {len(theirs.targets)}: their "
                f"{'targets' if same_ids else 'image_ids'} differ, so these runs cannot be "
                "compared; expected runs of one dataset, split and target"
            )


def chose_direct(runs: Iterable[FinishedRun]) -> bool:
    """Whether the direct use was the transfer of every run of an arm."""
    return all(run.transfer == DIRECT for run in runs)


def use_title(use: Use, runs: Iterable[FinishedRun], has_direct: bool) -> str:
    """Names arm and use, for people to read; the arm alone where it has one use.

    Args:
      use: the arm and its use.
      runs: of the arm.
      has_direct: whether the direct use was tested.
    """
    arm, name = use
    if not has_direct:
        return arm
    return f"{arm} ({DIRECT if chose_direct(runs) else name})"


def argmax_error(runs: Iterable[FinishedRun]) -> float | None:
    """Mean error over seeds where the largest pretraining class alone decides; None if unknown."""
    counts = [run.direct_argmax for run in runs]
    known = [count["num_wrong"] / count["num_images"] for count in counts if count]
    return statistics.fmean(known) if known else None
