"""Progress a person can read on a terminal; nothing elsewhere."""

from __future__ import annotations

from typing import Protocol

from tqdm import tqdm

from fine2coarse.training.loop import Progress


class Observer(Protocol):
    """Who is told how a run goes."""

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
    """The bar of one run: which of how many, step, images/s, loss, time left.

    Args:
      title: what the run is, e.g. `run 3/15 fine seed 0 pretrain`.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: tqdm | None = None

    def start(self, first_step: int, total_steps: int) -> None:
        """Shows the bar, where the output is a terminal."""
        self._bar = tqdm(
            total=total_steps,
            initial=first_step,
            desc=self._title,
            run="step",
            disable=None,
            dynamic_ncols=True,
            leave=False,
        )

    def advance(self, progress: Progress, images_per_second: float) -> None:
        """Moves the bar to where training stands."""
        self._bar.set_postfix_str(f"loss {progress.loss:.3f}, {images_per_second:.0f} images/s")
        self._bar.update(progress.step - self._bar.n)
        if progress.step == self._bar.total:
            self._bar.close()
