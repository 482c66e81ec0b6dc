"""Runs experiments over seeds and processes; keeps their rows as CSV and reads them back."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import logging
import multiprocessing
import os
import pathlib
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from fine2coarse.errors import UsageError
from fine2coarse.files import read_json, write_atomic, write_json
from fine2coarse.theory.experiments import Experiment
from fine2coarse.theory.trials import Row, Trial

_log = logging.getLogger(__name__)

# Seeds that one task trains side by side: enough to fill a matrix product, few enough that the
# tasks share out evenly among the processes. The rows do not depend on it.
_SEEDS_PER_TASK = 4
_TEXT_COLUMNS = ("curve",)
_WHOLE_COLUMNS = ("seed", "step")


def run_experiment(experiment: Experiment, num_seeds: int, num_workers: int = 1) -> list[Row]:
    """All rows, in the order of trials and seeds, whatever the number of processes.

    Raises:
      UsageError: `num_seeds` or `num_workers` not positive.
      RuntimeError: a trial that did not yield the rows it should.
    """
    for name, value in (("num_seeds", num_seeds), ("num_workers", num_workers)):
        if value < 1:
            raise UsageError(f"{name} is {value}: expected one or more")
    tasks = [
        (experiment.run, trial, tuple(range(first, min(first + _SEEDS_PER_TASK, num_seeds))))
        for trial in experiment.trials
        for first in range(0, num_seeds, _SEEDS_PER_TASK)
    ]
    if num_workers == 1:
        parts = [_run_task(task) for task in tasks]
    else:
        # spawn: a fork would copy a parent in which BLAS threads may be running.
        context = multiprocessing.get_context("spawn")
        with _one_thread_each(), ProcessPoolExecutor(num_workers, mp_context=context) as pool:
            parts = list(pool.map(_run_task, tasks))
    rows = [row for part in parts for row in part]
    _check_count(experiment, rows, num_seeds)
    return rows


def compute_or_read(
    experiment: Experiment,
    num_seeds: int,
    folder: pathlib.Path,
    num_workers: int = 1,
    say: Callable[[str], None] = _log.info,
) -> list[Row]:
    """The experiment's rows, from `folder` where they are already there.

    Raises:
      UsageError: `folder` holds this experiment with other settings or another number of rows.
    """
    table = folder / f"{experiment.name}.csv"
    record = folder / f"{experiment.name}.json"
    settings = {"num_seeds": num_seeds, "trials": _fingerprint(experiment)}
    if record.exists():
        rows = _read_back(experiment, table, record, settings)
        say(f"{experiment.name}: read {len(rows)} rows from {table}")
        return rows
    started = time.perf_counter()
    rows = run_experiment(experiment, num_seeds, num_workers)
    elapsed_seconds = time.perf_counter() - started
    write_trial_rows(table, rows)
    # Written last: where it is, the table is whole.
    facts = settings | {"num_rows": len(rows), "elapsed_seconds": round(elapsed_seconds, 2)}
    write_json(record, facts)
    say(f"{experiment.name}: {len(rows)} rows in {elapsed_seconds:.1f} s, {table}")
    return rows


def write_trial_rows(path: pathlib.Path, rows: list[Row]) -> None:
    """Writes rows, whole or not at all; columns that a row lacks are empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, *([row.get(name, "") for name in columns] for row in rows)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    write_atomic(path, text.getvalue())


def read_trial_rows(path: pathlib.Path) -> list[Row]:
    """Rows as `write_trial_rows` was given them."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: _parse(name, text) for name, text in row.items() if text != ""}
            for row in csv.DictReader(file)
        ]


@contextlib.contextmanager
def _one_thread_each():
    """Processes started meanwhile use one BLAS thread: they share the cores, threads would fight.

    It also keeps a product's rounding from depending on the number of threads.
    """
    names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _run_task(task: tuple[Callable, Trial, tuple[int, ...]]) -> list[Row]:
    run, trial, seeds = task
    return run(trial, seeds)


def _check_count(experiment, rows, num_seeds):
    expected = num_seeds * sum(trial.num_rows_per_seed for trial in experiment.trials)
    if len(rows) != expected:
        raise RuntimeError(f"{experiment.name} yielded {len(rows)} rows: expected {expected}")


def _fingerprint(experiment):
    """Changes where any setting of any trial does."""
    return hashlib.sha256(repr(experiment.trials).encode()).hexdigest()[:16]


def _read_back(experiment, table, record, settings):
    facts = read_json(record)
    different = [name for name, value in settings.items() if facts.get(name) != value]
    if different:
        received = ", ".join(f"{name} {facts.get(name)}" for name in different)
        expected = ", ".join(f"{name} {settings[name]}" for name in different)
        raise UsageError(
            f"{record} was made with {received}, this run asks for {expected}: take another "
            f"--workdir, or delete {record.name} to compute {experiment.name} again"
        )
    rows = read_trial_rows(table)
    if len(rows) != facts["num_rows"]:
        raise UsageError(
            f"{table} has {len(rows)} rows, {record.name} says {facts['num_rows']}: delete "
            f"{record.name} to compute {experiment.name} again"
        )
    return rows


def _parse(name, text):
    if name in _TEXT_COLUMNS:
        return text
    return int(text) if name in _WHOLE_COLUMNS else float(text)
