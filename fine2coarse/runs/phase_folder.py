"""A phase run's folder: recipe, status, metrics, checkpoints, and `result.json` written last."""

from __future__ import annotations

import csv
import errno
import io
import logging
import os
import pathlib
import shutil
import uuid
from collections.abc import Mapping
from typing import Any

from fine2coarse.files import is_partial, read_json, replacing, write_atomic, write_json
from fine2coarse.recipes.names import BASELINE, TRANSFER
from fine2coarse.recipes.recipe import SCHEMA_VERSION
from fine2coarse.runs import environment
from fine2coarse.runs.stored_recipe import (
    ENVIRONMENT,
    LATER_ENVIRONMENTS,
    SCHEMA,
    RunError,
    check_same,
    what_it_is,
)

_log = logging.getLogger(__name__)

RECIPE, STATUS, METRICS, RESULT = "recipe.json", "status.json", "metrics.csv", "result.json"
WEIGHTS = "model.weights.h5"
EMA_WEIGHTS = "ema.weights.h5"  # same layout; there where the run kept an average of its weights
BRANCH_WEIGHTS = "branch.weights.h5"  # same layout; of a step from which trials go on
LABEL_SPACE = "label_space.npz"
CHECKPOINTS = "checkpoints"
EVENTS = "tensorboard"  # a folder of what TensorBoard shows while the phase trains
PREDICTIONS = "predictions.npz"
CLASS_MAP = "class_map.npz"  # there where the run's head sums its classes into the label space
TRIALS = "trials"  # the transfers that were tried, beside the phase that they are for
RUNS = "runs"  # a study's folder of runs
METRIC_COLUMNS = (
    "step",
    "loss",
    "learning_rate",
    "images_per_second",
    "elapsed_seconds",
    "input_wait_share",
    "validation_accuracy",
)


class PhaseFolder:
    """One phase run's files. Every file is written whole or not at all."""

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = pathlib.Path(path)

    @property
    def is_finished(self) -> bool:
        """Whether its result is there."""
        return (self.path / RESULT).is_file()

    def bind(self, recipe: Mapping[str, Any], augments_in_step: bool = False) -> None:
        """Makes the folder and writes the recipe, or checks that the one there is the same.

        The environment (see `environment.describe`) is written beside the recipe. It may go on
        in another one, with other threads say: its numbers then differ in their last digits from
        those of one made in one go, so a line says what is different, and it is noted.

        Raises:
          RunError: where the folder holds another recipe.
        """
        here = environment.describe(augments_in_step)
        self._keep_recipe({**recipe, ENVIRONMENT: here})
        if not self.is_finished:
            self._note_environment(here)

    def _keep_recipe(self, content: Mapping[str, Any]) -> None:
        make_writable_folder(self.path)
        path = self.path / RECIPE
        if path.is_file():
            check_same(read_json(path), content, f"run folder {self.path}")
        else:
            write_json(path, {SCHEMA: SCHEMA_VERSION, **content})

    def _note_environment(self, here: Mapping[str, Any]) -> None:
        """Adds the environment that training goes on in to the recipe, where it is another."""
        content = self._read(RECIPE)
        later = content.get(LATER_ENVIRONMENTS, [])
        known = [content[ENVIRONMENT]] if ENVIRONMENT in content else []
        latest = [*known, *later][-1:]
        if latest == [here]:
            return
        if not any((self.path / CHECKPOINTS).glob("[!.]*.npz")):  # begins anew
            content.pop(LATER_ENVIRONMENTS, None)
            write_json(self.path / RECIPE, {**content, ENVIRONMENT: here})
            return
        if latest:
            told = "; ".join(environment.differences(latest[0], here))
            _log.warning(
                "%s goes on in another environment (%s): %s. %s notes both",
                self.path,
                told,
                environment.consequence(latest[0], here),
                RECIPE,
            )
        write_json(self.path / RECIPE, {**content, LATER_ENVIRONMENTS: [*later, here]})

    def recipe(self) -> dict[str, Any]:
        """What the phase run is, without the environment that it was made in.

        Raises:
          RunError: where the folder holds no phase run.
        """
        return what_it_is(self._read(RECIPE))

    def result(self) -> dict[str, Any]:
        """What came out.

        Raises:
          RunError: where it is not finished.
        """
        return self._read(RESULT)

    def _read(self, name: str) -> dict[str, Any]:
        path = self.path / name
        if not path.is_file():
            raise RunError(
                f"{self.path}: no {name}; expected the folder of a "
                f"{'finished ' if name == RESULT else ''}run"
            )
        return read_json(path)

    def elapsed_seconds(self) -> float:
        """Seconds that earlier calls spent on what the checkpoints hold."""
        path = self.path / STATUS
        return read_json(path)["elapsed_seconds"] if path.is_file() else 0.0

    def write_status(self, state: str, step: int, total_steps: int, elapsed_seconds: float) -> None:
        """State is 'running', 'preempted' or 'finished'."""
        status = {"state": state, "step": step, "total_steps": total_steps}
        write_json(self.path / STATUS, {**status, "elapsed_seconds": round(elapsed_seconds, 3)})

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Marks the phase run as finished."""
        write_json(self.path / RESULT, result)

    def adopt(self, other: PhaseFolder, notes: Mapping[str, Any]) -> dict[str, Any]:
        """Makes this folder that of a finished trial; its checkpoints stay where they are.

        Args:
          other: folder of the trial.
          notes: what this folder's `result.json` shall hold besides.

        Returns:
          The result, as in this folder's `result.json`.
        """
        if self.is_finished:
            return self.result()
        result = other.result() | dict(notes)
        self._keep_recipe(read_json(other.path / RECIPE))
        for path in sorted(other.path.iterdir()):
            if path.is_file() and path.name not in (RESULT, RECIPE) and not is_partial(path.name):
                link_or_copy(path, self.path / path.name)
        for path in sorted((other.path / EVENTS).glob("*tfevents*")):
            (self.path / EVENTS).mkdir(exist_ok=True)
            link_or_copy(path, self.path / EVENTS / path.name)
        self.write_result(result)
        return result

    def rewind_metrics(self, step: int) -> None:
        """Drops rows after `step`: those that a killed run logged past its last checkpoint."""
        rows = [row for row in self.metrics() if int(row["step"]) <= step]
        text = io.StringIO()
        writer = csv.DictWriter(text, METRIC_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(self.path / METRICS, text.getvalue())

    def append_metrics(self, row: Mapping[str, float]) -> None:
        """Adds one row to `metrics.csv`."""
        with (self.path / METRICS).open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, METRIC_COLUMNS).writerow(row)

    def metrics(self) -> list[dict[str, str]]:
        """The rows of `metrics.csv`; a row cut short by a kill is left out."""
        path = self.path / METRICS
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if None not in row.values()]


def link_or_copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """A second name for a file that is written once, or its copy where there are no hard links."""
    with replacing(target) as partial:
        try:
            partial.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, partial)


def run_name(arm: str, seed: int) -> str:
    """Of an arm's folder with a seed, below a study's `runs/`."""
    return f"{arm}-seed{seed}"


def last_phase(arm: str) -> str:
    """Folder of the phase whose result finishes an arm's run, and which is tested."""
    return BASELINE if arm == BASELINE else TRANSFER


def make_writable_folder(path: pathlib.Path) -> None:
    """Makes a folder and tries to write into it.

    Raises:
      RunError: where that is not allowed.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable.{uuid.uuid4().hex}"  # of this process alone
        probe.touch()
        probe.unlink()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise RunError(
            f"cannot write to {path}: {error.strerror}; choose another --workdir or change its "
            "permissions"
        ) from error
