"""A run is a folder: recipe, status, metrics, checkpoints, and `result.json` written last."""

from __future__ import annotations

import csv
import errno
import json
import os
import pathlib
import shutil
import uuid
from collections.abc import Mapping
from typing import Any

from fine2coarse.recipes.names import BASELINE, TRANSFER
from fine2coarse.runs import environment

RECIPE, STATUS, METRICS, RESULT = "recipe.json", "status.json", "metrics.csv", "result.json"
WEIGHTS = "model.weights.h5"
EMA_WEIGHTS = "ema.weights.h5"  # same layout; there where the run kept an average of its weights
BRANCH_WEIGHTS = "branch.weights.h5"  # same layout; of a step from which other runs go on
LABEL_SPACE = "label_space.npz"
CHECKPOINTS = "checkpoints"
PREDICTIONS = "predictions.npz"
CLASS_MAP = "class_map.npz"  # there where the run's head sums its classes into the label space
TRIALS = "trials"  # the transfers that were tried, beside the phase that they are for
RUNS = "runs"  # a study's folder of runs
# Keys of a run's recipe that are no part of what it is: the environment it was begun in, and those
# it went on in where they differ. Folders of early versions have neither.
ENVIRONMENT, LATER_ENVIRONMENTS = "environment", "later_environments"
METRIC_COLUMNS = (
    "step",
    "loss",
    "learning_rate",
    "images_per_second",
    "elapsed_seconds",
    "input_wait_share",
    "validation_accuracy",
)


class RunError(RuntimeError):
    """A run folder that cannot be used: another recipe's, unwritable, or unfinished."""


class PhaseFolder:
    """One run's files. Every file is written whole or not at all."""

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = pathlib.Path(path)

    @property
    def is_finished(self) -> bool:
        """Whether the run has its result."""
        return (self.path / RESULT).is_file()

    def claim(self, recipe: Mapping[str, Any]) -> None:
        """Makes the folder and writes the recipe, or checks that the one there is the same.

        The environment (see `environment.describe`) is written beside the recipe. A run may go on
        in another one, with other threads say: its numbers then differ in their last digits from
        those of a run made in one go, so a line says what is different, and it is noted.

        Raises:
          RunError: where the folder holds a run with another recipe.
        """
        here = environment.describe()
        self._keep_recipe({**recipe, ENVIRONMENT: here})
        if not self.is_finished:
            self._note_environment(here)

    def _keep_recipe(self, content: Mapping[str, Any]) -> None:
        make_writable_folder(self.path)
        check_or_write(self.path / RECIPE, content, f"run folder {self.path}")

    def _note_environment(self, here: Mapping[str, Any]) -> None:
        """Adds the environment that a run goes on in to its recipe, where it is another."""
        content = self._read(RECIPE)
        later = content.get(LATER_ENVIRONMENTS, [])
        known = [content[ENVIRONMENT]] if ENVIRONMENT in content else []
        latest = [*known, *later][-1:]
        if latest == [here]:
            return
        if not any((self.path / CHECKPOINTS).glob("*.npz")):  # begins anew
            content.pop(LATER_ENVIRONMENTS, None)
            write_json(self.path / RECIPE, {**content, ENVIRONMENT: here})
            return
        if latest:
            told = "; ".join(environment.differences(latest[0], here))
            print(
                f"warning: {self.path} goes on in another environment ({told}): from here on its "
                "numbers may differ in their last digits from those of a run made in one go. "
                f"{RECIPE} notes both"
            )
        write_json(self.path / RECIPE, {**content, LATER_ENVIRONMENTS: [*later, here]})

    def recipe(self) -> dict[str, Any]:
        """What the run is, without the environment that it was made in.

        Raises:
          RunError: where the folder holds no run.
        """
        return _without_environment(self._read(RECIPE))

    def result(self) -> dict[str, Any]:
        """What came out.

        Raises:
          RunError: where the run is not finished.
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
        """Marks the run as finished."""
        write_json(self.path / RESULT, result)

    def adopt(self, other: PhaseFolder, notes: Mapping[str, Any]) -> dict[str, Any]:
        """Makes this folder that of a finished run which lies elsewhere; checkpoints stay there.

        Args:
          other: folder of the run.
          notes: what this folder's `result.json` shall hold besides.

        Returns:
          The result, as in this folder's `result.json`.
        """
        if self.is_finished:
            return self.result()
        result = other.result() | dict(notes)
        self._keep_recipe(read_json(other.path / RECIPE))
        for path in sorted(other.path.iterdir()):
            if path.is_file() and path.name not in (RESULT, RECIPE) and path.suffix != ".tmp":
                _link_or_copy(path, self.path / path.name)
        self.write_result(result)
        return result

    def rewind_metrics(self, step: int) -> None:
        """Drops rows after `step`: those that a killed run logged past its last checkpoint."""
        rows = [row for row in self.metrics() if int(row["step"]) <= step]
        partial = self.path / (METRICS + ".tmp")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, METRIC_COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(self.path / METRICS)

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


def _link_or_copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """A second name for a file that is written once, or its copy where there are no hard links."""
    partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        partial.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, partial)
    partial.replace(target)


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


def check_or_write(path: pathlib.Path, content: Mapping[str, Any], what: str) -> None:
    """Writes a recipe's JSON file, or checks that the one there says the same.

    Raises:
      RunError: naming the keys that differ.
    """
    content = json.loads(json.dumps(content))
    if not path.is_file():
        write_json(path, content)
        return
    check_same(_without_environment(read_json(path)), _without_environment(content), what)


def _without_environment(content: Mapping[str, Any]) -> dict[str, Any]:
    names = (ENVIRONMENT, LATER_ENVIRONMENTS)
    return {name: value for name, value in content.items() if name not in names}


def check_same(before: Mapping[str, Any], content: Mapping[str, Any], what: str) -> None:
    """Checks that a recipe is still the one that was written.

    Raises:
      RunError: naming the keys that differ.
    """
    if before != content:
        differing = sorted(_differences(before, content))
        raise RunError(
            f"{what} belongs to another recipe; differing: {'; '.join(differing[:8])}. "
            "Use another folder, or go back to that recipe"
        )


def _differences(before: Any, after: Any, where: str = "") -> list[str]:
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if before == after else [f"{where} was {before!r}, now {after!r}"]
    found = []
    for key in before.keys() | after.keys():
        name = f"{where}.{key}" if where else key
        found += _differences(before.get(key), after.get(key), name)
    return found


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Reads a JSON object."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON object, whole or not at all, also where several processes write it."""
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        # Names of files that are not UTF-8 hold lone surrogates; JSON writes those as escapes.
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
