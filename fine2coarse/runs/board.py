"""Which folders TensorBoard is given, and which of a study's folders shows a phase's curves.

The events of a phase lie in `tensorboard/` of its own folder. A study has a `tensorboard/` too:
hard links there show the curves of all its runs, also while they train. It needs no TensorFlow.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

from fine2coarse.recipes.names import BASELINE, TRANSFER
from fine2coarse.runs.phase_folder import EVENTS, RECIPE, RUNS, TRIALS, link_or_copy, run_name

BOARD = "tensorboard"
# The end of our files' names: the dashboard of runs (`report.hparams`) has files of its own there.
CURVES_SUFFIX = ".curves"


def board_of(phase: pathlib.Path) -> pathlib.Path | None:
    """Where a study's TensorBoard shows a phase's curves; None of a phase outside of a study.

    Args:
      phase: folder of a phase, of a trial of one, or of a trial's probe.

    Returns:
      For example `STUDY/tensorboard/fine-seed0/pretrain`, of a trial
      `STUDY/tensorboard/fine-seed0/transfer/summed`.
    """
    for run in list(phase.parents)[:3]:
        study = run.parent.parent
        if run.parent.name == RUNS and (study / RECIPE).is_file():
            return study / BOARD / run.name / shown_as(phase.relative_to(run), run.name)
    return None


def shown_as(phase: pathlib.PurePath, run: str) -> pathlib.PurePath:
    """A phase's name below its run's: trials are shown as parts of the phase they are for.

    Args:
      phase: folder of the phase, relative to the run's.
      run: name of the run, e.g. 'fine-seed0'.
    """
    if phase.parts[:1] != (TRIALS,):
        return phase
    is_baseline = run.startswith(run_name(BASELINE, 0)[:-1])
    return pathlib.PurePath(BASELINE if is_baseline else TRANSFER, *phase.parts[1:])


def phases_with_curves(run: pathlib.Path) -> Iterator[pathlib.Path]:
    """Folders below a run's that hold events, in the order of their names; each curve once.

    A phase that was chosen among trials shares its events with the trial.
    """
    trials = sorted((run / TRIALS).glob(f"**/{EVENTS}"))
    seen = {path.stat().st_ino for folder in trials for path in event_files(folder)}
    for folder in sorted(run.glob(f"*/{EVENTS}")):
        if not all(path.stat().st_ino in seen for path in event_files(folder)):
            yield folder.parent
    yield from (folder.parent for folder in trials)


def event_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Files that TensorBoard reads in a folder."""
    return sorted(path for path in folder.glob("*tfevents*") if path.is_file())


def show_curves(run: pathlib.Path, board: pathlib.Path) -> None:
    """Shows a finished run's curves in another folder, where they are not shown yet.

    Args:
      run: folder of the run.
      board: of the run, within the folder that TensorBoard is given.
    """
    for phase in phases_with_curves(run):
        shown = board / shown_as(phase.relative_to(run), run.name)
        if not event_files(shown):
            shown.mkdir(parents=True, exist_ok=True)
            for path in event_files(phase / EVENTS):
                link_or_copy(path, shown / path.name)


def link(source: pathlib.Path, target: pathlib.Path) -> bool:
    """Gives a file that still grows a second name; whether the file system can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        return target.samefile(source)
    except OSError:
        return False
    return True


def remove_curves(folder: pathlib.Path) -> None:
    """Removes the events of an earlier process's curves, and whatever else TensorFlow logged."""
    for path in event_files(folder):
        if path.name.endswith((CURVES_SUFFIX, ".v2")):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
