"""Pretrains on each label space, transfers each, reports which one won.

  fine2coarse study --config=demo --workdir=runs/demo

Every arm with every seed is a run of its own. Any number of processes, here or on other hosts that
share the folder, may work on one --workdir: each run is done once, and what a process that died has
left is taken over. See docs/studies.md for plans (--dry_run), shares (--shard), clusters and TPUs.
"""

import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

import fine2coarse
from fine2coarse.api import INSTEAD_OF_WORKERS, conclude
from fine2coarse.claims import DEFAULT_TIMEOUT_S
from fine2coarse.cli.device_flags import refuse_workers, strategy_of_flags
from fine2coarse.cli.folder_flags import WORKDIR, data_folder, given_data_folders
from fine2coarse.cli.jobs import (
    check_codes,
    command_without,
    run_jobs,
    visible_gpus,
    without_flags,
)
from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import program_name, run_main
from fine2coarse.cli.recipe_flags import read_recipe
from fine2coarse.errors import UsageError
from fine2coarse.tensorflow_start import start_tensorflow

if TYPE_CHECKING:
    from fine2coarse.recipes.recipe import Recipe
    from fine2coarse.studies.run_plan import Run

_ARM = flags.DEFINE_list("arm", [], "Only these arms (or `baseline`), separated by commas.")
_SEED = flags.DEFINE_list("seed", [], "Only these seeds, separated by commas.")
_SHARD = flags.DEFINE_string(
    "shard", "0/1", "i/n: do only the i-th of n shares of the runs, counted from 0."
)
_LIST = flags.DEFINE_boolean("list", False, "Print one command a run, and do nothing.")
_DRY_RUN = flags.DEFINE_boolean(
    "dry_run", False, "Print every run with its classes, steps, time and disk, and do nothing."
)
_THROUGHPUTS = define_path(
    "throughputs",
    None,
    "Table for --dry_run's GPU and TPU hours; default: the one that comes with the cards.",
)
_JOBS = flags.DEFINE_integer(
    "jobs", 1, "Processes on this machine, which share its cores and GPUs.", lower_bound=1
)
_WAIT = flags.DEFINE_boolean(
    "wait", True, "Wait for runs that other processes do, to take over those of the dead."
)
_CLAIM_TIMEOUT_S = flags.DEFINE_float(
    "claim_timeout_s",
    DEFAULT_TIMEOUT_S,
    "A run is taken over when its process gave no sign of life for so many seconds.",
    lower_bound=1.0,
)
_REPORT = flags.DEFINE_boolean("report", True, "Write the report once all runs are finished.")
# Flags that say which part of the study a process does, and how.
_PARTS = ("arm", "seed", "shard", "list", "dry_run", "jobs", "wait", "report")


def main() -> None:
    recipe, seeds = read_recipe(), _seeds()
    from fine2coarse.studies.run_plan import parse_shard, plan_runs, select_runs

    shard = parse_shard(_SHARD.value)
    runs = select_runs(plan_runs(recipe), _ARM.value, seeds, shard)
    if _LIST.value:
        for run in runs:
            command = [*command_without(*_PARTS), f"--arm={run.arm}", f"--seed={run.seed}"]
            print(shlex.join(command))
        return
    start_tensorflow()
    refuse_workers(INSTEAD_OF_WORKERS)
    if _DRY_RUN.value:
        _print_plan(recipe, runs)
        return
    if _JOBS.value > 1:
        result = _in_jobs(recipe)
    else:
        result = fine2coarse.run_study(
            recipe,
            WORKDIR.value,
            data_dir=data_folder(),
            strategy=strategy_of_flags(),
            arms=_ARM.value,
            seeds=seeds,
            shard=shard,
            wait=_WAIT.value,
            report=_REPORT.value,
            claim_timeout_s=_CLAIM_TIMEOUT_S.value,
            command=[program_name("study"), *without_flags(sys.argv[1:], _PARTS)],
        )
    if _REPORT.value:
        print(f"\n{result}" if result.is_finished else result)


def _print_plan(recipe: "Recipe", runs: "Sequence[Run]") -> None:
    from fine2coarse.studies.dry_run import describe_study
    from fine2coarse.studies.mirror import open_workdir

    table = pathlib.Path(_THROUGHPUTS.value) if _THROUGHPUTS.value else None
    with open_workdir(WORKDIR.value) as (workdir, mirror):
        if mirror:
            mirror.pull()
        strategy, folder = strategy_of_flags(), data_folder()
        for part in describe_study(recipe, runs, workdir, strategy, folder, table):
            print(part, flush=True)


def _in_jobs(recipe: "Recipe") -> fine2coarse.StudyResult:
    """Lets several processes on this machine do the runs, then reports as one."""
    from fine2coarse.studies.mirror import open_workdir
    from fine2coarse.studies.study import Study

    with open_workdir(WORKDIR.value) as (workdir, mirror):
        study = Study(recipe, workdir, _CLAIM_TIMEOUT_S.value, mirror)
        command = [*command_without("jobs", "report"), "--noreport"]
        check_codes(run_jobs(command, _JOBS.value, visible_gpus()))
        return conclude(study, data_dirs=given_data_folders(), report=_REPORT.value)


def _seeds() -> list[int]:
    try:
        return [int(seed) for seed in _SEED.value]
    except ValueError:
        raise UsageError(f"--seed expects whole numbers, got {_SEED.value}") from None


if __name__ == "__main__":
    run_main(main, required=("config", "workdir"), takes_remote_workdir=True)
