"""The same runs for TensorBoard's HParams dashboard."""

from __future__ import annotations

import pathlib

from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.analysis.merging import Merged
from fine2coarse.recipes.names import BASELINE
from fine2coarse.report.hparams import Session, write_sessions
from fine2coarse.runs.phase_folder import RESULT, run_name

FOLDER = "tensorboard"
_METRICS = {
    "error": "top-1 error",
    "error_direct": "error, used directly",
    "error_easy": "error on easy images",
    "error_hard": "error on hard images",
    "balanced_accuracy": "balanced accuracy",
    "training_seconds": "training time (s)",
}


def write(merged: Merged, out: pathlib.Path) -> pathlib.Path | None:
    """Writes a session a run for `tensorboard --logdir=`; None without TensorBoard."""
    sessions = [_session(run, merged) for run in merged.runs]
    shown = {tag for session in sessions for tag in session.metrics}
    metrics = {tag: name for tag, name in _METRICS.items() if tag in shown}
    try:
        write_sessions(out / FOLDER, sessions, metrics)
    except ImportError:
        return None
    return out / FOLDER


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
        metrics={tag: value for tag, value in metrics.items() if value is not None},
        wall_time=(run.tested_folder / RESULT).stat().st_mtime,
    )
