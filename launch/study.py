"""Pretrains on each label space, transfers to the coarse task, and reports which one won.

  python launch/study.py --config=configs/demo.py --workdir=runs/demo

Every arm with every seed is a run of its own. Any number of processes, here or on other hosts that
share the folder, may work on one --workdir: each run is done once, and what a process that died has
left is taken over. See docs/studies.md for plans (--dry_run), shares (--shard), clusters and TPUs.
"""

import os
import pathlib
import shlex
import sys

from absl import flags

from fine2coarse.claims import DEFAULT_TIMEOUT_S
from fine2coarse.cli.dry_run import default_throughputs, print_plan
from fine2coarse.cli.jobs import command_without, run_jobs, without_flags
from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import WORKDIR, open_study, read_recipe, refuse_workers, run_main
from fine2coarse.cli.thumbnail_reader import image_reader

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
    "throughputs", None, "Table for --dry_run's GPU and TPU hours; default: configs/throughput.csv."
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
_ONE_MACHINE = (
    "runs in a remote --workdir are claimed among the processes of one machine only; give each "
    "machine its own --shard=i/n"
)
# Flags that say which part of the study a process does, and how.
_PARTS = ("arm", "seed", "shard", "list", "dry_run", "jobs", "wait", "report")


def main() -> None:
    from fine2coarse.report import record_command
    from fine2coarse.studies.mirror import open_workdir
    from fine2coarse.studies.run_plan import parse_shard, plan_runs, select_runs
    from fine2coarse.studies.study import Study

    recipe = read_recipe()
    shard = parse_shard(_SHARD.value)
    runs = select_runs(plan_runs(recipe), _ARM.value, _seeds(), shard)
    if _LIST.value:
        command = command_without(*_PARTS)
        for run in runs:
            print(shlex.join([*command, f"--arm={run.arm}", f"--seed={run.seed}"]))
        return
    refuse_workers(
        "a study spreads whole runs, not single ones, over hosts. Start one process a host with "
        "the same --workdir and --strategy=one_device or mirrored (without TF_CONFIG). To train "
        "one run on several hosts use launch/pretrain.py and launch/transfer.py"
    )
    if _DRY_RUN.value:
        table = pathlib.Path(_THROUGHPUTS.value or default_throughputs())
        with open_workdir(WORKDIR.value) as (workdir, mirror):
            if mirror:
                mirror.pull()
            print_plan(recipe, runs, workdir, table)
        return
    with open_workdir(WORKDIR.value) as (workdir, mirror):
        if mirror and shard == (0, 1):
            print(f"note: {_ONE_MACHINE}")
        study = Study(recipe, workdir, _CLAIM_TIMEOUT_S.value, mirror)
        record_command(study.workdir, "launch/study.py", without_flags(sys.argv[1:], _PARTS))
        _work(study, recipe, runs)
        if _REPORT.value:
            _conclude(study)


def _work(study, recipe, runs) -> None:
    """Does the runs here or, with --jobs, in processes of their own."""
    if _JOBS.value > 1:
        codes = run_jobs([*command_without("jobs", "report"), "--noreport"], _JOBS.value, _gpus())
        _leave_if_failed(codes)
    else:
        strategy, data = open_study(recipe, runs)
        study.run(data, strategy, runs=runs, wait=_WAIT.value)


def _seeds() -> list[int]:
    try:
        return [int(seed) for seed in _SEED.value]
    except ValueError:
        raise ValueError(f"--seed expects whole numbers, got {_SEED.value}") from None


def _gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may name on this machine."""
    import tensorflow as tf

    count = len(tf.config.list_physical_devices("GPU"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return [name for name in visible.split(",") if name] if visible else [*map(str, range(count))]


def _leave_if_failed(codes: list[int]) -> None:
    """Leaves where a job failed, saying which: with 75 where all that failed were asked to stop."""
    from fine2coarse.training.preemption import EXIT_PREEMPTED

    failed = {index: code for index, code in enumerate(codes) if code}
    if not failed:
        return
    told = ", ".join(f"job {index} (exit code {code})" for index, code in failed.items())
    print(f"error: {told} of {len(codes)} jobs did not end well; see above", file=sys.stderr)
    sys.exit(EXIT_PREEMPTED if set(failed.values()) == {EXIT_PREEMPTED} else 1)


def _conclude(study) -> None:
    """Prints the table and writes the report, where all runs are finished."""
    from fine2coarse.analysis.results import format_table, table
    from fine2coarse.claims import DONE, FREE
    from fine2coarse.report import write_report

    rows = study.rows()
    if len(rows) < len(study.runs):
        print(f"{len(rows)} of {len(study.runs)} runs are finished; the report follows the last")
        return
    print()
    print(format_table(*table(rows)))
    print(f"\n{_answer(study.workdir)}")
    claim = study.claims.take("report")
    if claim is None:
        print(f"\nreport: {study.workdir / 'report.html'} (another process writes it)")
        return
    state = FREE
    try:
        page = write_report(study.workdir, read_images=image_reader([study.workdir]))
        study.publish()
        state = DONE
    finally:
        claim.end(state)
    print(f"\nreport: {page}")


def _answer(workdir: pathlib.Path) -> str:
    """What the runs say, arm by arm and in short."""
    from fine2coarse.analysis.outcomes import load_outcomes
    from fine2coarse.analysis.sentences import summary
    from fine2coarse.analysis.statistics import compare
    from fine2coarse.runs.phase_folder import RECIPE, RunError, read_json

    try:
        return summary(compare(load_outcomes(workdir)), read_json(workdir / RECIPE))
    except RunError as error:
        return f"no intervals: {error}"


if __name__ == "__main__":
    run_main(main, takes_remote_workdir=True)
