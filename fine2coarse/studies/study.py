"""A study: every arm × every seed, and the answer."""

from __future__ import annotations

import gc
import json
import pathlib
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from fine2coarse.analysis import results
from fine2coarse.analysis.finished import RunResults
from fine2coarse.claims import DEFAULT_TIMEOUT_S, Claim, Claims
from fine2coarse.datasets.data_facts import DATA, notes
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.runs.phase_folder import (
    RUNS,
    PhaseFolder,
    check_same,
    last_phase,
    make_writable_folder,
    read_json,
    write_json,
)
from fine2coarse.studies.mirror import Mirror
from fine2coarse.studies.run_phases import Executor, do_run
from fine2coarse.studies.run_plan import Run, plan_runs
from fine2coarse.studies.study_data import StudyData
from fine2coarse.studies.worker import work_through

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
        self.runs = plan_runs(recipe)
        self.claims = Claims(workdir / CLAIMS, claim_timeout_s)
        self._rows: dict[Run, results.Row] = {}
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
        _check_or_begin(self.recipe, self.workdir, writes=True)
        write_json(self.workdir / RESOLVED, self.recipe.to_dict())
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
        """Raises StudyError where runs in the folder were made with other images."""
        others = {}
        for run in self.runs:
            for path in self._folder(run).glob("*/recipe.json"):
                found = read_json(path).get("dataset_fingerprint", fingerprint)
                if found != fingerprint:
                    others[run.name] = found
        if others:
            name, found = next(iter(others.items()))
            raise StudyError(
                f"{len(others)} runs in {self.workdir} were made with other images, such as "
                f"{name} (fingerprint {found[:16]}, now it is {fingerprint[:16]}): images were "
                "added, removed, replaced or relabelled since, or prepared by another version. "
                "Give this study a --workdir of its own"
            )

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
    """How a run got to its error: the direct use's beside it, and which transfer it was."""
    told = []
    if row.direct_wrong is not None:
        told.append(f"direct {100 * row.direct_wrong / row.num_images:.2f} %")
    if row.transfer:
        told.append(f"transfer {row.transfer}")
    return f" ({', '.join(told)})" if told else ""


def read_row(run: Run, folder: pathlib.Path) -> results.Row:
    """The row of a finished run."""
    return results.Row.of(RunResults.read(folder, run.arm))
