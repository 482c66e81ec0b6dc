"""Reruns the theory's simulation: every statement, every picture.

fine2coarse theory --workdir=runs/theory

writes results/*.csv, figures/*.png and report.html there; experiments already in results/ are read
back, so an interrupted run goes on. All of it takes minutes, `--experiment=default` seconds; add
`--smoke` to see everything at a small size. What it means: docs/theory.md.
"""

import dataclasses
import os
import pathlib

from absl import flags

from fine2coarse.backend_start import start_on_tensorflow
from fine2coarse.claims import hold
from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import run_main
from fine2coarse.errors import UsageError
from fine2coarse.nearest import unknown
from fine2coarse.theory.names import EXPERIMENTS, KERAS_PATCHES

_WORKDIR = define_path("workdir", None, "Folder of results; made where it is missing.")
_EXPERIMENT = flags.DEFINE_list(
    "experiment", ["all"], f"Comma-separated; all, or some of {', '.join(EXPERIMENTS)}."
)
_NUM_SEEDS = flags.DEFINE_integer(
    "num_seeds", None, "Seeds of each trial; default 20, with --smoke 2.", lower_bound=1
)
_NUM_WORKERS = flags.DEFINE_integer(
    "num_workers", os.cpu_count(), "Processes of the simulation.", lower_bound=1
)
_SMOKE = flags.DEFINE_bool("smoke", False, "A small size: fewer seeds, dimensions and images.")
_DATA_DIR = define_path(
    "data_dir", None, f"Folder of prepared data for {KERAS_PATCHES}; default: `data` in --workdir."
)


def main() -> None:
    names, workdir = _chosen(_EXPERIMENT.value), pathlib.Path(_WORKDIR.value)
    # One thread for each product where everything runs in this process, whatever the user set: rows
    # would differ in their last digits from those of several processes. See trial_rows.py.
    for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    from fine2coarse.report.theory_report import report_theory
    from fine2coarse.theory.experiments import SMOKE, Scale

    scale = SMOKE if _SMOKE.value else Scale()
    if _NUM_SEEDS.value is not None:
        scale = dataclasses.replace(scale, num_seeds=_NUM_SEEDS.value)
    with hold(workdir / "claims", "theory", f"--workdir={workdir}"):
        if KERAS_PATCHES in names:
            start_on_tensorflow(f"the experiment {KERAS_PATCHES}")
        data_dir = _DATA_DIR.value or str(workdir / "data")
        page = report_theory(
            workdir, names, scale, data_dir=data_dir, num_workers=_NUM_WORKERS.value
        )
    print(f"report: {page}")


def _chosen(words: list[str]) -> list[str]:
    """The experiments asked for, in the order of the report."""
    for word in words:
        if word not in (*EXPERIMENTS, "all"):
            raise UsageError(unknown("experiment", word, ("all", *EXPERIMENTS)))
    if not words:
        raise UsageError("--experiment is empty: expected all, or names with commas between")
    return [name for name in EXPERIMENTS if name in words or "all" in words]


if __name__ == "__main__":
    run_main(main, required=("workdir",))
