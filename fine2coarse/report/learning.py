"""Learning curves: loss and validation accuracy against images seen, mean over seeds."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.recipes.names import BASELINE, PRETRAIN, STRAIGHT
from fine2coarse.report.figures import COLOURS, saved_figure, set_count_axis, set_loss_axis
from fine2coarse.report.pictures import WIDE, add_legend, legend_inches
from fine2coarse.report.points import shortened
from fine2coarse.runs.phase_folder import TRIALS, PhaseFolder

_DASHES = ("-", "--", ":", "-.")


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """One arm's phase, over its seeds.

    Attributes:
      arm: its name.
      phase: 'pretrain', 'transfer' or 'baseline'.
      images: seen since the arm began, [steps].
      steps: done since the arm began, [steps].
      loss: mean over seeds, [steps].
      accuracy: on held-out training images, mean over seeds; NaN where it was not measured.
    """

    arm: str
    phase: str
    images: np.ndarray
    steps: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray


def read_curves(runs: Sequence[FinishedRun]) -> list[Curve]:
    """Curves of every arm and phase that logged anything, in the order of the runs."""
    curves = []
    for arm in dict.fromkeys(run.arm for run in runs):
        members = [run for run in runs if run.arm == arm]
        first_image = first_step = 0
        for phase in (PRETRAIN, members[0].tested_folder.name):
            folders = [folder for run in members if (folder := _trained(run, phase)) is not None]
            if not folders:
                continue
            settings = PhaseFolder(folders[0]).recipe()["phase"]
            curve = _mean_curve(arm, phase, folders, (first_image, first_step), settings)
            if curve is not None:
                curves.append(curve)
            first_step += settings["total_steps"]
            first_image += PhaseFolder(folders[0]).result()["images_seen"]
    return curves


def _trained(run: FinishedRun, phase: str) -> pathlib.Path | None:
    """The folder that logged a phase's training; None where nothing was trained in it.

    A transfer that was chosen among several was logged where it was tried. Of the baseline, the
    training that goes straight on is shown: other last phases branch off it.
    """
    name = STRAIGHT if phase == BASELINE else run.row.transfer
    tried = [] if phase == PRETRAIN else [run.folder / TRIALS / name]
    places = (folder for folder in [*tried, run.folder / phase] if PhaseFolder(folder).metrics())
    return next(places, None)


def _mean_curve(
    arm: str,
    phase: str,
    folders: Sequence[pathlib.Path],
    first: tuple[int, int],
    settings: Mapping[str, Any],
) -> Curve | None:
    """Mean over seeds; `first` says how many images and steps the arm has done before."""
    columns = ("step", "loss", "validation_accuracy")
    tables = []
    for folder in folders:
        rows = PhaseFolder(folder).metrics()
        tables.append([[float(row.get(c) or "nan") for c in columns] for row in rows])
    length = min(map(len, tables))
    if not length:
        return None
    stack = np.asarray([table[:length] for table in tables])  # [seeds, steps, columns]
    step, loss, accuracy = stack.mean(0).T
    images = first[0] + step * settings["batch_size"]
    return Curve(arm, phase, images, first[1] + step, loss, accuracy)


def draw_learning(path: pathlib.Path, curves: Sequence[Curve], width_inches: float = WIDE) -> None:
    """A panel for the loss, and one for the accuracy where there is one."""
    panels = ["loss"]
    if any(np.isfinite(curve.accuracy).any() for curve in curves):
        panels.append("accuracy")
    arms = list(dict.fromkeys(curve.arm for curve in curves))
    height_inches = 3.1 * len(panels) + legend_inches(len(arms), width_inches, columns=3)
    with saved_figure(path, width_inches, height_inches, nrows=len(panels), squeeze=False) as axes:
        for name, axis in zip(panels, axes[:, 0]):
            for curve in curves:
                number = arms.index(curve.arm)
                values = getattr(curve, name)
                measured = np.isfinite(values)
                axis.plot(
                    curve.images[measured],
                    values[measured] * (100 if name == "accuracy" else 1),
                    color=COLOURS[number % len(COLOURS)],
                    linestyle=_DASHES[number // len(COLOURS) % len(_DASHES)],
                    linewidth=1.6,
                    marker="." if measured.sum() < 3 else None,
                    label=None if curve.phase == "transfer" else shortened(curve.arm),
                )
            set_count_axis(axis, "images seen", 4 if width_inches < WIDE else 7)
        set_loss_axis(axes[0, 0])
        if len(panels) > 1:
            axes[1, 0].set_ylabel("validation accuracy (%)")
        add_legend(axes[0, 0], width_inches, columns=3)
