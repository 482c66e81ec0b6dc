"""A study: every arm × every seed, and the answer."""

from __future__ import annotations

import functools
import gc
import logging
import pathlib
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from fine2coarse.analysis import results
from fine2coarse.analysis.finished import read_run
from fine2coarse.claims import DEFAULT_TIMEOUT_S, Claim, Claims
from fine2coarse.datasets.data_facts import DATA, notes
from fine2coarse.errors import FailedError, RecipeError, UsageError
from fine2coarse.files import read_json, write_json
from fine2coarse.recipes.names import PRETRAIN
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.runs.phase_folder import (
    RECIPE,
    RUNS,
    PhaseFolder,
    RunError,
    last_phase,
    make_writable_folder,
)
from fine2coarse.runs.stored_recipe import check_same
from fine2coarse.studies.mirror import Mirror
from fine2coarse.studies.run_phases import Executor, do_run, pretraining_run
from fine2coarse.studies.run_plan import Run, plan_runs
from fine2coarse.studies.study_data import StudyData
from fine2coarse.studies.worker import work_through

_log = logging.getLogger(__name__)

STUDY, RESOLVED, RESULTS = "study.json", "recipe.json", "results.csv"
CLAIMS = "claims"


class StudyError(FailedError):
    """Some of a study's runs failed."""


def check_study(recipe: Recipe, workdir: pathlib.Path) -> None:
    """Makes sure that a folder holds no study or this one, and writes nothing.

    Raises:
      RunError: where it belongs to another recipe.
    """
    path = workdir / STUDY
    if not path.is_file():
        return
    # Arms and seeds may grow, so they are not stored there.
    stored = {**read_json(path), "arms": recipe.to_dict()["arms"], "seeds": recipe.seeds}
    try:
        before = Recipe.from_stored(stored)
    except RecipeError as error:
        raise RunError(f"{path} cannot be read: {error}. Use another folder") from error
    check_same(before.defining(), recipe.defining(), f"study {workdir}")


def _begin(recipe: Recipe, workdir: pathlib.Path) -> None:
    """Binds a folder to a recipe, unless it is already."""
    check_study(recipe, workdir)
    if not (workdir / STUDY).is_file():
        shared = {k: v for k, v in recipe.stored().items() if k not in ("arms", "seeds")}
        write_json(workdir / STUDY, shared)


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
        check_study(recipe, workdir)
        self.runs, self._claim_timeout_s = plan_runs(recipe), claim_timeout_s
        self._rows: dict[Run, results.Row] = {}
        self.publish()

    @functools.cached_property
    def claims(self) -> Claims:
        """Who does which run."""
        return Claims(self.workdir / CLAIMS, self._claim_timeout_s)

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
        announce: Callable[[str], None] = _log.info,
        *,
        runs: Sequence[Run] | None = None,
        wait: bool = True,
    ) -> list[results.Row]:
        """Does every run that nobody has done or does; `results.csv` grows with each.

        Args:
          data: images and label spaces.
          strategy: the process's strategy.
          announce: told one line a finished run.
          runs: which runs; all of them where None.
          wait: for the runs that other processes do, to take over those of the dead. Otherwise
            returns as soon as nothing is left that it could do.

        Returns:
          A row for each finished run, whoever did it, in the plan's order.

        Raises:
          StudyError: where runs failed; the others are finished.
          Preempted: where SIGTERM came; what was trained is saved.
        """

        def do(run: Run, claim: Claim | None) -> None:
            title = f"run {self.runs.index(run) + 1}/{len(self.runs)} {run}"
            row = self._do_run(run, data, strategy, title, announce, claim)
            self._rows[run] = row
            self.rows()
            before = "" if claim else " (done before)"
            error = f"error {100 * row.error():.2f} %"
            announce(f"{title}: {row.num_classes} classes, {error}{_how(row)}{before}")
            if claim:
                keras.backend.clear_session()
                gc.collect()

        self._check_images(data.dataset_fingerprint)
        self._check_arms(data)
        _begin(self.recipe, self.workdir)
        write_json(self.workdir / RESOLVED, self.recipe.stored())
        write_json(self.workdir / DATA, data.facts)
        for note in notes(data.facts):
            announce(f"note: {note}")
        chosen = self.runs if runs is None else runs
        failures = work_through(
            chosen, self.claims, self.is_finished, do, wait=wait, announce=announce
        )
        if self._mirror:
            self._mirror.pull()  # what other machines did
        if failures:
            told = "; ".join(f"{run}: {reason}" for run, reason in failures.items())
            raise StudyError(
                f"{len(failures)} of {len(chosen)} runs failed, the others did not: {told}"
            )
        return self.rows()

    def _check_images(self, fingerprint: str) -> None:
        """Raises UsageError where runs in the folder were made with other images."""
        others = {}
        for run in self.runs:
            for path in self._folder(run).glob("*/recipe.json"):
                found = read_json(path).get("dataset_fingerprint", fingerprint)
                if found != fingerprint:
                    others[run.name] = found
        if others:
            name, found = next(iter(others.items()))
            raise UsageError(
                f"{len(others)} runs in {self.workdir} were made with other images, such as "
                f"{name} (fingerprint {found[:16]}, now it is {fingerprint[:16]}): images were "
                "added, removed, replaced or relabelled since, or prepared by another version. "
                "Give this study a --workdir of its own"
            )

    def _check_arms(self, data: StudyData) -> None:
        """Raises RunError where an arm was pretrained otherwise, so that no file changes then."""
        for (arm, seed), space in data.spaces.items():
            path = self._folder(Run(arm, seed)) / PRETRAIN / RECIPE
            if path.is_file():
                wanted = pretraining_run(self.recipe, space, seed, data, arm).recipe()
                check_same(read_json(path), wanted, f"run folder {path.parent}")

    def is_finished(self, run: Run) -> bool:
        """Whether a run has its last result."""
        return PhaseFolder(self._folder(run) / last_phase(run.arm)).is_finished

    def rows(self) -> list[results.Row]:
        """A row for each finished run, in the plan's order; `results.csv` is written with them."""
        for run in self.runs:
            if run not in self._rows and self.is_finished(run):
                self._rows[run] = read_row(run, self._folder(run))
        rows = [self._rows[run] for run in self.runs if run in self._rows]
        results.write_csv(self.workdir / RESULTS, rows)
        self.publish()
        return rows

    def _folder(self, run: Run) -> pathlib.Path:
        return self.workdir / RUNS / run.name

    def _do_run(
        self,
        run: Run,
        data: StudyData,
        strategy: tf.distribute.Strategy,
        title: str,
        announce: Callable[[str], None],
        claim: Claim | None,
    ) -> results.Row:
        folder = self._folder(run)
        publish = self._mirror.push if self._mirror else lambda path: None
        if self._mirror and claim:
            self._mirror.pull(f"{RUNS}/{run.name}", heavy=True)
        executor = Executor(
            strategy, title, lambda line: announce(f"{title}: {line}"), claim, publish
        )
        do_run(self.recipe, run, data, folder, executor)
        return read_row(run, folder)


def _how(row: results.Row) -> str:
    """The error of the direct use, and which transfer was chosen."""
    told = []
    if row.direct_wrong is not None:
        told.append(f"direct {100 * row.direct_wrong / row.num_images:.2f} %")
    if row.transfer:
        told.append(f"transfer {row.transfer}")
    return f" ({', '.join(told)})" if told else ""


def read_row(run: Run, folder: pathlib.Path) -> results.Row:
    """The row of a finished run."""
    return read_run(folder, run.arm, run.seed).row
