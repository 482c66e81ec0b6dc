"""What a study's finished runs found, image by image; read back without TensorFlow."""

from __future__ import annotations

import dataclasses
import functools
import io
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from fine2coarse.experiment.results import Row
from fine2coarse.experiment.run_folder import (
    BASELINE,
    LABEL_SPACE,
    PREDICTIONS,
    PRETRAIN,
    RECIPE,
    RUNS,
    RunError,
    RunFolder,
    last_phase,
    read_json,
    unit_name,
)
from fine2coarse.labels.space import LabelSpace

_COLUMNS = ("image_ids", "targets", "predicted", "margins")


class OutcomeError(ValueError):
    """Runs that cannot be compared: tested on other images, or too few for the question."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a run cost, all its phases together.

    Attributes:
      seconds: of training.
      images: shown in training, repeats counted.
      flops: floating-point operations of training; None where a phase did not record them.
      peak_memory_bytes: the larger of the phases' peaks; None where a phase did not record it.
    """

    seconds: float
    images: int
    flops: float | None
    peak_memory_bytes: int | None

    @classmethod
    def of(cls, phases: Sequence[dict[str, Any]]) -> Cost:
        """From the `result.json` of each phase; old ones have no record of FLOPs and memory."""
        per_image = [_recorded(phase, "train_flops_per_image") for phase in phases]
        peaks = [_recorded(phase, "peak_memory_bytes") for phase in phases]
        images = [phase["images_seen"] for phase in phases]
        return cls(
            seconds=sum(phase["elapsed_seconds"] for phase in phases),
            images=sum(images),
            flops=None
            if None in per_image
            else float(sum(flops * shown for flops, shown in zip(per_image, images))),
            peak_memory_bytes=None if None in peaks else max(peaks),
        )


def _recorded(phase: dict[str, Any], name: str) -> int | None:
    return (phase.get("cost") or {}).get(name)


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
      pretrain: `result.json` of the pretraining; None for the baseline.
      final: `result.json` of the phase that was tested.
    """

    arm: str
    seed: int
    num_classes: int
    folder: pathlib.Path
    image_ids: np.ndarray
    targets: np.ndarray
    predicted: np.ndarray
    margins: np.ndarray
    pretrain: dict[str, Any] | None
    final: dict[str, Any]

    @functools.cached_property
    def wrong(self) -> np.ndarray:
        """Bool [N]: the images that were classified wrongly."""
        return self.predicted != self.targets

    @property
    def row(self) -> Row:
        """The run's line in `results.csv`."""
        return Row.from_results(self.arm, self.pretrain, self.final)

    @property
    def cost(self) -> Cost:
        """Of both phases."""
        return Cost.of([phase for phase in (self.pretrain, self.final) if phase is not None])

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
        _load(workdir / RUNS / unit_name(arm, seed), arm, seed)
        for seed in recipe["seeds"]
        for arm in (BASELINE, *recipe["arms"])
    ]
    outcomes = [outcome for outcome in found if outcome is not None]
    check_same_images(outcomes)
    return outcomes


def _load(run: pathlib.Path, arm: str, seed: int) -> Outcome | None:
    first = None if arm == BASELINE else RunFolder(run / PRETRAIN)
    last = RunFolder(run / last_phase(arm))
    if not last.is_finished:
        return None
    pretrain, final = first and first.result(), last.result()
    return Outcome(
        arm=arm,
        seed=seed,
        num_classes=(pretrain or final)["num_classes"],
        folder=last.path,
        pretrain=pretrain,
        final=final,
        **_read_predictions(last.path / PREDICTIONS),
    )


def _read_predictions(path: pathlib.Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise RunError(
            f"{path.parent}: finished, but without {PREDICTIONS}; delete this folder and start the "
            "study again to repeat the run"
        )
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as columns:
        missing = [name for name in _COLUMNS if name not in columns]
        if missing:
            raise RunError(f"{path}: lacks {', '.join(missing)}; expected {', '.join(_COLUMNS)}")
        return {name: columns[name] for name in _COLUMNS}


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
