"""The same runs for TensorBoard: their learning curves, and a session each for HParams."""

from __future__ import annotations

import pathlib

from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.analysis.merging import Merged
from fine2coarse.recipes.names import BASELINE
from fine2coarse.report.hparams import Session, write_sessions
from fine2coarse.runs.board import BOARD, show_curves
from fine2coarse.runs.phase_folder import RESULT, run_name

# Under one heading of TensorBoard's, below the learning curves.
_METRICS = {
    "result/error": "top-1 error",
    "result/error_direct": "error, used directly",
    "result/error_easy": "error on easy images",
    "result/error_hard": "error on hard images",
    "result/balanced_accuracy": "balanced accuracy",
    "result/training_seconds": "training time (s)",
}


def write(merged: Merged, out: pathlib.Path) -> pathlib.Path | None:
    """Writes a session a run for `tensorboard --logdir=`; None without TensorBoard.

    Curves that are not there yet, as of studies of earlier versions, are linked from the runs.
    """
    for run in merged.runs:
        show_curves(run.folder, out / BOARD / run_name(run.arm, run.seed))
    sessions = [_session(run, merged) for run in merged.runs]
    shown = {tag for session in sessions for tag in session.metrics}
    metrics = {tag: name for tag, name in _METRICS.items() if tag in shown}
    try:
        write_sessions(out / BOARD, sessions, metrics)
    except ImportError:
        return None
    return out / BOARD


def _session(run: FinishedRun, merged: Merged) -> Session:
    row = run.row
    phases = [recipe["phase"] for recipe in run.recipes if "phase" in recipe]
    source = "target" if run.arm == BASELINE else merged.arms[run.arm]["source"]
    errors = {
        "error": row.error(),
        "error_direct": row.error("direct"),
        "error_easy": row.error("easy"),
        "error_hard": row.error("hard"),
    }
    metrics = {
        **errors,
        "balanced_accuracy": run.tested.get("metrics", {}).get("balanced_accuracy"),
        "training_seconds": row.pretrain_seconds + row.transfer_seconds,
    }
    return Session(
        name=run_name(run.arm, run.seed),
        settings={
            "arm": run.arm,
            "label_source": source,
            "num_classes": row.num_classes,
            "seed": run.seed,
            "total_steps": sum(phase["total_steps"] for phase in phases),
            "images_seen": row.images_seen,
            "transfer": row.transfer,
            "learning_rate": phases[0]["optimizer"]["learning_rate"],
        },
        metrics={f"result/{name}": value for name, value in metrics.items() if value is not None},
        wall_time=(run.tested_folder / RESULT).stat().st_mtime,
    )
