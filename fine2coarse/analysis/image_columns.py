"""What finished runs predict for each test image, as columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.analysis.predictions import StoredPredictions
from fine2coarse.errors import UsageError
from fine2coarse.nearest import unknown
from fine2coarse.runs.phase_folder import PREDICTIONS

TRANSFERRED, DIRECT = "transferred", "direct"
USES = (TRANSFERRED, DIRECT)
COLUMNS = ("arm", "seed", "image_id", "target", "predicted", "margin", "wrong")


def image_columns(
    runs: Sequence[FinishedRun], *, arm: str | None = None, seed: int | None = None, use: str
) -> dict[str, np.ndarray]:
    """A row for each run and test image, run by run.

    Only the predictions of the runs that are asked for are read. Columns of text refer to texts
    that all rows share, so a row takes about 50 bytes.

    Args:
      runs: finished ones.
      arm: of these runs alone; None for all.
      seed: of these runs alone; None for all.
      use: 'transferred', or 'direct' for the pretrained models as they are; runs without a direct
        use, as of the baseline, are then left out.

    Returns:
      Column → array [rows]: `arm`, `image_id`, `target` and `predicted` (names of the target's
      classes) are objects (str), `seed` int64, `margin` float32 (the right class's score minus the
      largest other one), `wrong` bool.

    Raises:
      UsageError: on an arm, seed or use that there is none of.
      RunError: where a run's predictions are damaged.
    """
    if use not in USES:
        raise UsageError(unknown("use", use, USES))
    ids = _SharedIds()
    parts = [
        _columns_of(run, found, ids)
        for run in _selected(runs, arm, seed)
        if (found := _predictions(run, use)) is not None
    ]
    if not parts:
        named = "any arm" if arm is None else f"arm {arm!r}"
        raise UsageError(
            f"no direct use of {named} was tested; use={TRANSFERRED!r} gives what the models "
            "predict after the transfer"
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}


def _selected(
    runs: Sequence[FinishedRun], arm: str | None, seed: int | None
) -> Sequence[FinishedRun]:
    if arm is not None:
        arms = list(dict.fromkeys(run.arm for run in runs))
        runs = [run for run in runs if run.arm == arm]
        if not runs:
            raise UsageError(unknown("arm", arm, arms))
    chosen = [run for run in runs if seed in (None, run.seed)]
    if not chosen:
        seeds = ", ".join(map(str, sorted({run.seed for run in runs})))
        of_arm = "" if arm is None else f" of arm {arm!r}"
        raise UsageError(f"no finished run{of_arm} has seed {seed!r}; finished seeds: {seeds}")
    return chosen


def _predictions(run: FinishedRun, use: str) -> StoredPredictions | None:
    if not run.predictions.are_stored:
        raise UsageError(
            f"{run.tested_folder}: no {PREDICTIONS}; an early version of fine2coarse kept no "
            "predictions for single images. Run the study again in another --workdir to have them"
        )
    return run.predictions.direct if use == DIRECT else run.predictions.transferred


class _SharedIds:
    """The image ids as Python strings, the same ones for runs that were tested on the same images.

    As an array of objects, a row of a further run costs a reference instead of the text.
    """

    def __init__(self) -> None:
        self._last = np.array([], str)
        self._texts = np.array([], object)

    def of(self, image_ids: np.ndarray) -> np.ndarray:
        """Object [N] of `str` [N]."""
        if not np.array_equal(image_ids, self._last):
            self._last, self._texts = image_ids, image_ids.astype(object)
        return self._texts


def _columns_of(
    run: FinishedRun, found: StoredPredictions, ids: _SharedIds
) -> dict[str, np.ndarray]:
    names = np.array(run.class_names(), object)
    num_images = len(found.targets)
    return {
        "arm": np.full(num_images, run.arm, object),
        "seed": np.full(num_images, run.seed, np.int64),
        "image_id": ids.of(found.image_ids),
        "target": names[found.targets],
        "predicted": names[found.predicted],
        "margin": found.margins,
        "wrong": found.wrong,
    }
