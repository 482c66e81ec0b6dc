"""What a running loop asks its host before and after it takes a batch."""

from __future__ import annotations

import time

import numpy as np


class Gate:
    """Whether to go on, and how long batches were waited for.

    Args:
      obeys: whether it closes in the middle of a call where this process is asked to stop. With
        several processes it must not: they would have done different numbers of steps.
    """

    def __init__(self, obeys: bool) -> None:
        self.stop = False
        self._obeys, self._asked_at = obeys, 0.0
        self._waited_seconds, self._num_waits = 0.0, 0

    def opens(self) -> np.bool_:
        """Whether to do another step, for which a batch is asked next."""
        self._asked_at = time.perf_counter()
        return np.bool_(not (self._obeys and self.stop))

    def has_input(self) -> np.bool_:
        """The batch is there."""
        return self.waited(time.perf_counter() - self._asked_at)

    def waited(self, seconds: float) -> np.bool_:
        """The devices have waited so long for a batch that is there now."""
        self._waited_seconds += seconds
        self._num_waits += 1
        return np.bool_(True)

    def take_waited_seconds(self, num_steps: int) -> float:
        """Seconds waited for the batches of so many steps, judged by those that were timed."""
        seconds = self._waited_seconds * num_steps / max(self._num_waits, 1)
        self._waited_seconds, self._num_waits = 0.0, 0
        return seconds
