"""What is written while a phase trains: rows of `metrics.csv`, and the same for TensorBoard."""

from __future__ import annotations

import logging
import time

from fine2coarse.runs.curve_events import CurveEvents, has_tensorboard
from fine2coarse.runs.phase_folder import PhaseFolder
from fine2coarse.training.loop import SLOW_INPUT_SHARE, Progress

_log = logging.getLogger(__name__)

# Over a shorter time the share of waiting is no guide: other processes may have had the cores.
_HINT_AFTER_SECONDS = 20.0


class MetricsLog:
    """Times what happens between two calls and writes it down, until `close`.

    Args:
      folder: of the phase run.
      batch_size: images a step.
      earlier_seconds: spent by earlier calls on what the checkpoint holds.
      first_step: where this call begins.
      writes: whether this process is the one that writes files.
    """

    def __init__(
        self,
        folder: PhaseFolder,
        batch_size: int,
        earlier_seconds: float,
        first_step: int,
        writes: bool,
    ) -> None:
        self._folder, self._batch_size, self._writes = folder, batch_size, writes
        self._earlier_seconds, self._started = earlier_seconds, time.monotonic()
        self._last_time = self._started
        self._row_time, self._row_step = self._started, first_step
        self._wait_seconds = self._wait_span = 0.0
        # Before the first row the input starts up, which says nothing of its speed.
        self._hint_wait, self._hint_span = 0.0, None
        self._hinted = False
        self._curves = CurveEvents(folder.path) if writes and has_tensorboard() else None
        if self._curves:
            for row in folder.metrics():
                ago = earlier_seconds - float(row["elapsed_seconds"])
                self._curves.add(row, time.time() - ago)

    def elapsed_seconds(self) -> float:
        """Of training, in all calls."""
        return self._earlier_seconds + time.monotonic() - self._started

    def advance(self, progress: Progress) -> tuple[float, float]:
        """Images per second since the last row; the share of waiting for input since before."""
        now = time.monotonic()
        span = max(now - self._last_time, 1e-9)
        num_images = (progress.step - self._row_step) * self._batch_size
        rate = num_images / max(now - self._row_time, 1e-9)
        self._last_time = now
        self._wait_seconds += progress.input_wait_seconds
        self._wait_span += span
        return rate, min(progress.input_wait_seconds / span, 1.0)

    def write(self, progress: Progress, rate: float, validation_accuracy: float | None) -> None:
        """Writes a row, and once a hint where the input is too slow."""
        waited, span = self._wait_seconds, self._wait_span
        share = min(waited / max(span, 1e-9), 1.0)
        self._wait_seconds = self._wait_span = 0.0
        self._row_time, self._row_step = self._last_time, progress.step
        if not self._writes:
            return
        self._hint(waited, span)
        row = {
            "step": progress.step,
            "loss": progress.loss,
            "learning_rate": progress.learning_rate,
            "images_per_second": round(rate, 1),
            "elapsed_seconds": round(self.elapsed_seconds(), 3),
            "input_wait_share": round(share, 4),
            "validation_accuracy": "" if validation_accuracy is None else validation_accuracy,
        }
        self._folder.append_metrics(row)
        if self._curves:
            self._curves.add(row, time.time())

    def close(self) -> None:
        """Nothing is written any more."""
        if self._curves:
            self._curves.close()

    def _hint(self, waited: float, span: float) -> None:
        """Says once that the input is too slow, when it has been so for a while."""
        if self._hint_span is None:
            self._hint_span = 0.0
            return
        self._hint_wait += waited
        self._hint_span += span
        share = self._hint_wait / max(self._hint_span, 1e-9)
        if self._hinted or share <= SLOW_INPUT_SHARE or self._hint_span < _HINT_AFTER_SECONDS:
            return
        self._hinted = True
        _log.warning(
            "%.0f %% of the time is spent waiting for input. Try smaller stored images, a cheaper "
            "augmentation (fewer rand_augment_ops), more CPU cores, or a faster disk",
            100 * share,
        )
