"""Pretrains on each label space, transfers each, reports which one won.

  fine2coarse study --config=demo --workdir=runs/demo
  fine2coarse study --config=demo --workdir=runs/lr --sweep=pretrain.optimizer.learning_rate=0.1,0.2

Every arm with every seed is a run of its own. Any number of processes, here or on other hosts that
share the folder, may work on one --workdir: each run is done once, and what a process that died has
left is taken over. See docs/studies.md for plans (--dry_run), shares (--shard), clusters and TPUs.
"""

from absl import flags

from fine2coarse.api import INSTEAD_OF_WORKERS
from fine2coarse.backend_start import start_backend
from fine2coarse.claims import DEFAULT_TIMEOUT_S
from fine2coarse.cli.backend_flag import settle_backend
from fine2coarse.cli.device_flags import refuse_workers
from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import run_main
from fine2coarse.cli.recipe_flags import read_recipe
from fine2coarse.cli.study_command import StudyCommand

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
_REPORT = flags.DEFINE_boolean(
    "report", True, "Write the report, marked as partial where runs are not finished."
)
_SWEEP = flags.DEFINE_multi_string(
    "sweep",
    [],
    "FIELD=VALUE,VALUE: a study for each value, in a folder of its own below --workdir, and a page "
    "that shows them side by side. May be given again for another field: every combination.",
)


def main() -> None:
    settle_backend()
    command = StudyCommand(
        recipe=read_recipe(),
        sweeps=_SWEEP.value,
        arms=_ARM.value,
        seeds=_SEED.value,
        shard=_SHARD.value,
        claim_timeout_s=_CLAIM_TIMEOUT_S.value,
    )
    command.check()
    if _LIST.value:
        for line in command.commands():
            print(line)
        return
    start_backend()
    refuse_workers(INSTEAD_OF_WORKERS)
    if _DRY_RUN.value:
        for part in command.plans(_THROUGHPUTS.value):
            print(part, flush=True)
        return
    if _JOBS.value > 1:
        result = command.run_in_jobs(_JOBS.value, report=_REPORT.value)
    else:
        result = command.run(wait=_WAIT.value, report=_REPORT.value)
    if _REPORT.value:
        print(f"\n{result}" if result.is_finished else result)


if __name__ == "__main__":
    run_main(main, required=("config", "workdir"), takes_remote_workdir=True)
