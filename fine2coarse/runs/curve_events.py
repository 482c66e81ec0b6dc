"""The learning curves of a phase as TensorBoard reads them, while it trains and afterwards."""

from __future__ import annotations

import functools
import logging
import pathlib
import time
import uuid
from collections.abc import Mapping
from typing import Any

from fine2coarse.runs.board import CURVES_SUFFIX, board_of, link, remove_curves
from fine2coarse.runs.phase_folder import EVENTS, link_or_copy

_log = logging.getLogger(__name__)

_CURVES = (
    "loss",
    "learning_rate",
    "images_per_second",
    "input_wait_share",
    "validation_accuracy",
)


@functools.cache
def has_tensorboard() -> bool:
    """Whether TensorBoard is installed, whose writer this is; says once where it is not."""
    try:
        import tensorboard.summary.writer.record_writer  # noqa: F401
    except ImportError:
        _log.warning("no curves for TensorBoard: it is not installed (pip install tensorboard)")
        return False
    return True


class CurveEvents:
    """One file of events, which takes the place of those that earlier processes wrote.

    So the curves are those of `metrics.csv`, without steps that a killed process did past its last
    checkpoint. The file has a second name in the study's TensorBoard folder from the start, where
    the file system has hard links; otherwise its copy is there at the end.

    Args:
      phase: folder of the phase, or of a trial of one.

    Raises:
      OSError: where it cannot be written.
    """

    def __init__(self, phase: pathlib.Path) -> None:
        folder, self._board = phase / EVENTS, board_of(phase)
        folder.mkdir(parents=True, exist_ok=True)
        remove_curves(folder)
        # Never the name of another process's file, which may still write to it.
        name = f"events.out.tfevents.{int(time.time())}.{uuid.uuid4().hex[:8]}{CURVES_SUFFIX}"
        self._path = folder / name
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._writer = RecordWriter(self._path.open("wb"))
        self._write(self._event(wall_time=time.time(), file_version="brain.Event:2"))
        self._is_linked = True
        if self._board:
            remove_curves(self._board)
            self._is_linked = link(self._path, self._board / name)

    def add(self, row: Mapping[str, float | str], wall_time: float) -> None:
        """Adds a row of `metrics.csv` to the curves; what is empty in it has no point.

        Args:
          row: with `step` and the columns that are shown.
          wall_time: when it was; seconds since 1970.
        """
        values = [
            self._summary.Value(tag=name, simple_value=float(row[name]))
            for name in _CURVES
            if row.get(name, "") not in ("", None)
        ]
        summary = self._summary(value=values)
        self._write(self._event(wall_time=wall_time, step=int(row["step"]), summary=summary))

    def close(self) -> None:
        """Ends the file."""
        self._writer.close()
        if not self._is_linked:
            link_or_copy(self._path, self._board / self._path.name)

    def _write(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()
