"""Progress a person can read on a terminal; nothing elsewhere."""

from __future__ import annotations

from typing import Protocol

from fine2coarse.terminal import Bar
from fine2coarse.training.loop import Progress


class Observer(Protocol):
    """Who is told how training goes."""

    def start(self, first_step: int, total_steps: int) -> None:
        """Training begins, or goes on, after `first_step` steps."""

    def advance(self, progress: Progress, images_per_second: float) -> None:
        """Some steps are done."""


class Silent:
    """An observer that says nothing."""

    def start(self, first_step: int, total_steps: int) -> None:
        """Does nothing."""

    def advance(self, progress: Progress, images_per_second: float) -> None:
        """Does nothing."""


class ProgressBar:
    """The bar of one phase run: which of how many, steps, loss, images/s, time left.

    A context manager, which takes the bar away where training fails or is stopped.

    Args:
      title: what is trained, e.g. `run 3/15 fine seed 0 pretrain`.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: Bar | None = None

    def start(self, first_step: int, total_steps: int) -> None:
        """Shows the bar, where standard error is a terminal."""
        self._bar = Bar(self._title, total_steps, first_step, unit="steps")

    def advance(self, progress: Progress, images_per_second: float) -> None:
        """Moves the bar to where training stands."""
        note = f"loss {progress.loss:.3f}, {images_per_second:.0f} images/s"
        self._bar.move_to(progress.step, note=note)
        if progress.step == self._bar.total:
            self._bar.close()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar:
            self._bar.close()
