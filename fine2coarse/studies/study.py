"""A study: every arm × every seed, and the answer."""

from __future__ import annotations

import functools
import gc
import logging
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras

from fine2coarse.analysis import results
from fine2coarse.analysis.finished import read_run
from fine2coarse.analysis.study_folder import (
    EARLIER_ARMS,
    further_runs,
    in_order,
    runs_in_words,
)
from fine2coarse.claims import DEFAULT_TIMEOUT_S, Claim, Claims
from fine2coarse.datasets.data_facts import DATA, notes
from fine2coarse.errors import FailedError, RecipeError, UsageError
from fine2coarse.files import read_json, write_json
from fine2coarse.recipes.names import PRETRAIN
from fine2coarse.recipes.recipe import ArmSpec, Recipe
from fine2coarse.runs.phase_folder import (
    RECIPE,
    RUNS,
    PhaseFolder,
    RunError,
    last_phase,
    make_writable_folder,
)
from fine2coarse.runs.stored_recipe import check_same
from fine2coarse.schema import defining, parse
from fine2coarse.studies.mirror import Mirror
from fine2coarse.studies.run_phases import Executor, do_run, pretraining_run
from fine2coarse.studies.run_plan import Run, plan_runs
from fine2coarse.studies.study_data import StudyData
from fine2coarse.studies.target_arms import notes_on_arms
from fine2coarse.studies.worker import work_through
from fine2coarse.training.engine import Engine

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
    check_same(before.defining(), recipe.defining(), f"study {workdir}", flags=True)


def _begin(recipe: Recipe, workdir: pathlib.Path) -> None:
    """Binds a folder to a recipe, unless it is already; arms that it had before are noted."""
    check_study(recipe, workdir)
    known = _stored_arms(workdir)
    earlier = {arm: spec for arm, spec in known.items() if arm not in recipe.arms}
    if earlier and earlier != _earlier_arms(workdir):
        write_json(workdir / EARLIER_ARMS, earlier)
    if not (workdir / STUDY).is_file():
        shared = {k: v for k, v in recipe.stored().items() if k not in ("arms", "seeds")}
        write_json(workdir / STUDY, shared)
    write_json(workdir / RESOLVED, recipe.stored())


def _stored_arms(workdir: pathlib.Path) -> dict[str, Mapping[str, Any]]:
    """Name → label spec of all arms that a study's folder has or had."""
    path = workdir / RESOLVED
    return {**_earlier_arms(workdir), **(read_json(path)["arms"] if path.is_file() else {})}


def _earlier_arms(workdir: pathlib.Path) -> dict[str, Mapping[str, Any]]:
    path = workdir / EARLIER_ARMS
    return read_json(path) if path.is_file() else {}


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
        engine: Engine,
        announce: Callable[[str], None] = _log.info,
        *,
        runs: Sequence[Run] | None = None,
        wait: bool = True,
    ) -> list[results.Row]:
        """Does every run that nobody has done or does; `results.csv` grows with each.

        Args:
          data: images and label spaces.
          engine: the process's engine.
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
            row = self._do_run(run, data, engine, title, announce, claim)
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
        self.check_earlier_runs()
        _begin(self.recipe, self.workdir)
        write_json(self.workdir / DATA, data.facts)
        for note in (*notes(data.facts), *self.notes(), *notes_on_arms(data)):
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
        for arm, seed in data.spaces:
            path = self._folder(Run(arm, seed)) / PRETRAIN / RECIPE
            if path.is_file():
                known = data.spaces.summaries[arm, seed]
                wanted = pretraining_run(self.recipe, known, seed, data, arm).recipe()
                check_same(read_json(path), wanted, f"run folder {path.parent}")

    def check_earlier_runs(self) -> None:
        """Makes sure that arms are those that the folder's runs of other seeds were made of.

        Raises:
          RunError: where one was changed.
        """
        stored = _stored_arms(self.workdir)
        for run in self.further:
            if run.arm in self.recipe.arms and run.arm in stored:
                try:
                    before = defining(parse(ArmSpec, stored[run.arm]))
                except RecipeError:  # of another version; label spaces are compared besides
                    continue
                now = defining(self.recipe.arms[run.arm])
                where = f"study {self.workdir}, which holds {run},"
                check_same({"arms": {run.arm: before}}, {"arms": {run.arm: now}}, where, flags=True)

    def notes(self) -> Iterator[str]:
        """What a user should know of the folder: finished runs that nobody asks for any more."""
        further = self.further
        if further:
            told = runs_in_words([(run.arm, run.seed) for run in further])
            yield (
                "the folder also holds finished runs that this recipe does not ask for; they stay "
                f"in results.csv and in the report: {told}"
            )

    @property
    def further(self) -> list[Run]:
        """Finished runs in the folder that the recipe asks for no more."""
        asked = [(run.arm, run.seed) for run in self.runs]
        return [Run(*found) for found in further_runs(self.workdir, asked)]

    def is_finished(self, run: Run) -> bool:
        """Whether a run has its last result."""
        return PhaseFolder(self._folder(run) / last_phase(run.arm)).is_finished

    def rows(self) -> list[results.Row]:
        """A row for each finished run, in the plan's order; `results.csv` is written with them.

        Runs of arms and seeds that the recipe had before are among them.
        """
        finished = [run for run in self.runs if run in self._rows or self.is_finished(run)]
        finished += self.further
        for run in finished:
            if run not in self._rows:
                self._rows[run] = read_row(run, self._folder(run))
        order = in_order(
            [(run.arm, run.seed) for run in finished], self.recipe.arms, self.recipe.seeds
        )
        rows = [self._rows[Run(*run)] for run in order]
        results.write_csv(self.workdir / RESULTS, rows)
        self.publish()
        return rows

    def _folder(self, run: Run) -> pathlib.Path:
        return self.workdir / RUNS / run.name

    def _do_run(
        self,
        run: Run,
        data: StudyData,
        engine: Engine,
        title: str,
        announce: Callable[[str], None],
        claim: Claim | None,
    ) -> results.Row:
        folder = self._folder(run)
        publish = self._mirror.push if self._mirror else lambda path: None
        if self._mirror and claim:
            self._mirror.pull(f"{RUNS}/{run.name}", heavy=True)
        executor = Executor(
            engine, title, lambda line: announce(f"{title}: {line}"), claim, publish
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
