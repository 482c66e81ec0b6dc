"""A study: every arm × every seed, and the answer."""

from __future__ import annotations

import gc
import json
import pathlib
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from fine2coarse.experiment import results
from fine2coarse.experiment.claims import DEFAULT_TIMEOUT_S, Claim, Claims
from fine2coarse.experiment.data_facts import DATA, notes
from fine2coarse.experiment.finished import RunResults
from fine2coarse.experiment.mirror import Mirror
from fine2coarse.experiment.recipe import Recipe
from fine2coarse.experiment.run_folder import (
    RUNS,
    RunFolder,
    check_same,
    last_phase,
    make_writable_folder,
    read_json,
    write_json,
)
from fine2coarse.experiment.share import share_units
from fine2coarse.experiment.study_data import StudyData
from fine2coarse.experiment.unit_runs import Executor, do_unit
from fine2coarse.experiment.units import Unit, plan_units

STUDY, RESOLVED, RESULTS = "study.json", "recipe.json", "results.csv"
CLAIMS = "claims"


class StudyError(RuntimeError):
    """Some of a study's runs failed."""


def _check_or_begin(recipe: Recipe, workdir: pathlib.Path, *, writes: bool) -> None:
    """Makes sure that a folder holds no study or this one; begins it where it may write.

    Raises:
      RunError: where it belongs to another recipe.
    """
    path, content = workdir / STUDY, recipe.without_arms_and_seeds()
    if path.is_file():
        before = read_json(path)
        if "transfer_head" not in before:  # made before transfers were tried: a new head, one mode
            before = {"transfer_candidates": "off", "transfer_head": "new", **before}
            before.setdefault("transfer_choices", {})
        for name in ("dataset", "transfer_dataset"):  # of before there was such a field
            if before.get(name):
                before[name].setdefault("drop_duplicates", False)
        check_same(before, json.loads(json.dumps(content)), f"study {workdir}")
    elif writes:
        write_json(path, content)


def check_study(recipe: Recipe, workdir: pathlib.Path) -> None:
    """Makes sure that a folder holds no study or this one, and writes nothing.

    Raises:
      RunError: where it belongs to another recipe.
    """
    _check_or_begin(recipe, workdir, writes=False)


class Study:
    """A study in its folder, on which several processes may work at the same time.

    Args:
      recipe: what to do.
      workdir: where all files go; one folder a study.
      claim_timeout_s: a run whose process gave no sign of life for so long is taken over.
      mirror: where `workdir` is the local copy of a remote folder.

    Raises:
      RunError: where the folder is not writable or belongs to another recipe.
    """

    def __init__(
        self,
        recipe: Recipe,
        workdir: pathlib.Path,
        claim_timeout_s: float = DEFAULT_TIMEOUT_S,
        mirror: Mirror | None = None,
    ) -> None:
        self.recipe, self.workdir, self._mirror = recipe, workdir, mirror
        make_writable_folder(workdir)
        if mirror:
            mirror.pull()
        _check_or_begin(recipe, workdir, writes=False)
        self.units = plan_units(recipe)
        self.claims = Claims(workdir / CLAIMS, claim_timeout_s)
        self._rows: dict[Unit, results.Row] = {}
        self.publish()

    def publish(self) -> None:
        """Copies the study's own files to the remote folder, where there is one."""
        if self._mirror:
            for path in self.workdir.iterdir():
                if path.name != RUNS:
                    self._mirror.push(path)

    def run(
        self,
        data: StudyData,
        strategy: tf.distribute.Strategy,
        announce: Callable[[str], None] = print,
        *,
        units: Sequence[Unit] | None = None,
        wait: bool = True,
    ) -> list[results.Row]:
        """Does every run that nobody has done or does; `results.csv` grows with each.

        Args:
          data: images and label spaces.
          strategy: the process's strategy.
          announce: told one line a finished run.
          units: which runs; all of them where None.
          wait: for the runs that other processes do, to take over those of the dead. Otherwise
            returns as soon as nothing is left that it could do.

        Returns:
          A row for each finished run, whoever did it, in the plan's order.

        Raises:
          StudyError: where runs failed; the others are finished.
          Preempted: where SIGTERM came; what was trained is saved.
        """

        def do(unit: Unit, claim: Claim | None) -> None:
            title = f"run {self.units.index(unit) + 1}/{len(self.units)} {unit}"
            row = self._run_unit(unit, data, strategy, title, announce, claim)
            self._rows[unit] = row
            self.rows()
            before = "" if claim else " (done before)"
            error = f"error {100 * row.error():.2f} %"
            announce(f"{title}: {row.num_classes} classes, {error}{_how(row)}{before}")
            if claim:
                keras.backend.clear_session()
                gc.collect()

        self._check_images(data.dataset_fingerprint)
        _check_or_begin(self.recipe, self.workdir, writes=True)
        write_json(self.workdir / RESOLVED, self.recipe.to_dict())
        write_json(self.workdir / DATA, data.facts)
        for note in notes(data.facts):
            announce(f"note: {note}")
        chosen = self.units if units is None else units
        failures = share_units(
            chosen, self.claims, self.is_finished, do, wait=wait, announce=announce
        )
        if self._mirror:
            self._mirror.pull()  # what other machines did
        if failures:
            told = "; ".join(f"{unit}: {reason}" for unit, reason in failures.items())
            raise StudyError(
                f"{len(failures)} of {len(chosen)} runs failed, the others did not: {told}"
            )
        return self.rows()

    def _check_images(self, fingerprint: str) -> None:
        """Raises StudyError where runs in the folder were made with other images."""
        others = {}
        for unit in self.units:
            for path in self._folder(unit).glob("*/recipe.json"):
                found = read_json(path).get("dataset_fingerprint", fingerprint)
                if found != fingerprint:
                    others[unit.name] = found
        if others:
            name, found = next(iter(others.items()))
            raise StudyError(
                f"{len(others)} runs in {self.workdir} were made with other images, such as "
                f"{name} (fingerprint {found[:16]}, now it is {fingerprint[:16]}): images were "
                "added, removed, replaced or relabelled since, or prepared by another version. "
                "Give this study a --workdir of its own"
            )

    def is_finished(self, unit: Unit) -> bool:
        """Whether a unit has its last result."""
        return RunFolder(self._folder(unit) / last_phase(unit.arm)).is_finished

    def rows(self) -> list[results.Row]:
        """A row for each finished run, in the plan's order; `results.csv` is written with them."""
        for unit in self.units:
            if unit not in self._rows and self.is_finished(unit):
                self._rows[unit] = read_row(unit, self._folder(unit))
        rows = [self._rows[unit] for unit in self.units if unit in self._rows]
        results.write_csv(self.workdir / RESULTS, rows)
        self.publish()
        return rows

    def _folder(self, unit: Unit) -> pathlib.Path:
        return self.workdir / RUNS / unit.name

    def _run_unit(
        self,
        unit: Unit,
        data: StudyData,
        strategy: tf.distribute.Strategy,
        title: str,
        announce: Callable[[str], None],
        claim: Claim | None,
    ) -> results.Row:
        folder = self._folder(unit)
        publish = self._mirror.push if self._mirror else lambda path: None
        if self._mirror and claim:
            self._mirror.pull(f"{RUNS}/{unit.name}", heavy=True)
        executor = Executor(
            strategy, title, lambda line: announce(f"{title}: {line}"), claim, publish
        )
        do_unit(self.recipe, unit, data, folder, executor)
        return read_row(unit, folder)


def _how(row: results.Row) -> str:
    """How a run got to its error: the direct use's beside it, and which transfer it was."""
    told = []
    if row.direct_wrong is not None:
        told.append(f"direct {100 * row.direct_wrong / row.num_images:.2f} %")
    if row.transfer:
        told.append(f"transfer {row.transfer}")
    return f" ({', '.join(told)})" if told else ""


def read_row(unit: Unit, folder: pathlib.Path) -> results.Row:
    """The row of a finished unit."""
    return results.Row.of(RunResults.read(folder, unit.arm))
