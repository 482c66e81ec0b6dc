"""What a study's finished runs found, image by image; read back without TensorFlow."""

from __future__ import annotations

import dataclasses
import functools
import io
import pathlib
from collections.abc import Sequence

import numpy as np

from fine2coarse.analysis.finished import RunResults
from fine2coarse.analysis.results import Row
from fine2coarse.labels.space import UNREADABLE, LabelSpace
from fine2coarse.recipes.names import BASELINE, DIRECT, PRETRAIN
from fine2coarse.runs.phase_folder import (
    LABEL_SPACE,
    PREDICTIONS,
    RECIPE,
    RUNS,
    PhaseFolder,
    RunError,
    last_phase,
    read_json,
    run_name,
)

TRANSFERRED = "transferred"
USES = (TRANSFERRED, DIRECT)  # of a pretrained model
_COLUMNS = ("image_ids", "targets", "predicted", "margins")


class OutcomeError(ValueError):
    """Runs that cannot be compared: tested on other images, or too few for the question."""


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """A model's answers to the test images.

    Attributes:
      predicted: int32 [N].
      margins: float32 [N], the right class's score minus the largest other one.
    """

    predicted: np.ndarray
    margins: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """One finished run of an arm, as tested on the target task.

    Attributes:
      arm: its name.
      seed: of the run.
      num_classes: of the label space it pretrained on (the target's for the baseline).
      folder: of the phase that was tested.
      image_ids: str [N], the test images.
      targets: int32 [N], their classes.
      predicted: int32 [N].
      margins: float32 [N], the right class's score minus the largest other one.
      results: the counts and costs of its phases.
      direct: answers of its pretrained model used as it is; None for the baseline, and where that
        was not tested on the same images and classes.
    """

    arm: str
    seed: int
    num_classes: int
    folder: pathlib.Path
    image_ids: np.ndarray
    targets: np.ndarray
    predicted: np.ndarray
    margins: np.ndarray
    results: RunResults
    direct: Answers | None = None

    @functools.cached_property
    def wrong(self) -> np.ndarray:
        """Bool [N]: the images that were classified wrongly."""
        return self.predicted != self.targets

    @property
    def row(self) -> Row:
        """The run's line in `results.csv`."""
        return Row.of(self.results)

    @property
    def used_directly(self) -> Outcome | None:
        """The same run with its direct use's answers; None where there are none."""
        if self.direct is None:
            return None
        return dataclasses.replace(
            self, predicted=self.direct.predicted, margins=self.direct.margins, direct=None
        )

    def class_names(self) -> tuple[str, ...]:
        """Names of the target's classes, in their order; their numbers where none are stored."""
        path = self.folder / LABEL_SPACE
        if not path.is_file():
            return tuple(str(number) for number in range(int(self.targets.max()) + 1))
        return LabelSpace.load(path).class_names


def load_outcomes(workdir: pathlib.Path) -> list[Outcome]:
    """Reads the finished runs of a study, seed by seed and in the order of the recipe's arms.

    Args:
      workdir: the study's folder; runs that are not finished are left out.

    Raises:
      RunError: where there is no study, or a finished run's predictions are missing.
      OutcomeError: where runs were tested on different images.
    """
    if not (workdir / RECIPE).is_file():
        raise RunError(f"{workdir}: no {RECIPE}; expected the folder of a study")
    recipe = read_json(workdir / RECIPE)
    found = [
        _load(workdir / RUNS / run_name(arm, seed), arm, seed)
        for seed in recipe["seeds"]
        for arm in (BASELINE, *recipe["arms"])
    ]
    outcomes = [outcome for outcome in found if outcome is not None]
    check_same_images(outcomes)
    return outcomes


def _load(run: pathlib.Path, arm: str, seed: int) -> Outcome | None:
    last = PhaseFolder(run / last_phase(arm))
    if not last.is_finished:
        return None
    results = RunResults.read(run, arm)
    tested = _read_predictions(last.path / PREDICTIONS)
    return Outcome(
        arm=arm,
        seed=seed,
        num_classes=results.num_classes,
        folder=last.path,
        results=results,
        direct=None if results.direct is None else _read_direct(run / PRETRAIN, tested),
        **tested,
    )


def _read_direct(pretrain: pathlib.Path, tested: dict[str, np.ndarray]) -> Answers | None:
    """Answers of the pretraining's model to the images that the run was tested on."""
    if not (pretrain / PREDICTIONS).is_file():
        return None
    found = _read_predictions(pretrain / PREDICTIONS)
    same = all(np.array_equal(found[name], tested[name]) for name in ("image_ids", "targets"))
    return Answers(found["predicted"], found["margins"]) if same else None


def _read_predictions(path: pathlib.Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise RunError(
            f"{path.parent}: finished, but without {PREDICTIONS}; delete this folder and start the "
            "study again to repeat the run"
        )
    columns = load_arrays(path)
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise RunError(f"{path}: lacks {', '.join(missing)}; expected {', '.join(_COLUMNS)}")
    return {name: columns[name] for name in _COLUMNS}


def load_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a run's predictions.

    Raises:
      RunError: where the file is damaged.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as columns:
            return dict(columns)
    except UNREADABLE as error:
        raise RunError(
            f"{path}: damaged ({error}); delete {path.parent} and start the study again to repeat "
            "that run"
        ) from error


def check_same_images(outcomes: Sequence[Outcome]) -> None:
    """Checks that all runs were tested on the same images, in the same order, for one task.

    Raises:
      OutcomeError: naming two runs that differ.
    """
    for outcome in outcomes[1:]:
        for what in ("image_ids", "targets"):
            ours, theirs = getattr(outcome, what), getattr(outcomes[0], what)
            if not np.array_equal(ours, theirs):
                raise OutcomeError(
                    f"{outcome.folder} was tested on {len(ours)} images and "
                    f"{outcomes[0].folder} on {len(theirs)}: their {what} differ, so these runs "
                    "cannot be compared; expected runs of one dataset, split and target"
                )


def by_arm(outcomes: Sequence[Outcome]) -> dict[str, dict[int, Outcome]]:
    """Arm → seed → run, both in the order given.

    Raises:
      OutcomeError: where an arm has two runs of one seed.
    """
    found: dict[str, dict[int, Outcome]] = {}
    for outcome in outcomes:
        of_seed = found.setdefault(outcome.arm, {})
        if outcome.seed in of_seed:
            raise OutcomeError(
                f"arm {outcome.arm!r} has two runs of seed {outcome.seed}: "
                f"{of_seed[outcome.seed].folder} and {outcome.folder}; give one arm another name"
            )
        of_seed[outcome.seed] = outcome
    return found


def in_use(outcomes: Sequence[Outcome], use: str, baseline: str = BASELINE) -> list[Outcome]:
    """The baseline's runs as they are, and all others in one use.

    Args:
      outcomes: runs.
      use: 'transferred' or 'direct'; runs without answers of their direct use are left out of it.
      baseline: the arm that the others are compared with.
    """
    if use == TRANSFERRED:
        return list(outcomes)
    found = [run if run.arm == baseline else run.used_directly for run in outcomes]
    return [run for run in found if run is not None]
