"""Writing under a claim: nothing is written once another process has taken the run over."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fine2coarse.claims import Claim, hold
from fine2coarse.runs.phase_folder import PhaseFolder, make_writable_folder
from fine2coarse.runs.progress import Observer
from fine2coarse.training.cluster_task import is_multi_worker, read_task
from fine2coarse.training.loop import Progress


@contextlib.contextmanager
def hold_run(folder: pathlib.Path, strategy: str) -> Iterator[Claim]:
    """Refuses a second process on a run's folder, but for the other workers of the same run.

    Args:
      folder: of the run; made where it is missing.
      strategy: name of the strategy, which tells whether this process is a worker.

    Raises:
      AlreadyHeld: where a living process works in it.
      RunError: where it cannot be written.
      ValueError: where TF_CONFIG is wrong.
    """
    name = "run"
    if is_multi_worker(strategy):
        task = read_task()
        name = name if task.is_chief else f"{name}-{task.kind}{task.index}"
    make_writable_folder(folder)
    with hold(folder / "claims", name, f"--workdir={folder}") as claim:
        yield claim


class ClaimedFolder(PhaseFolder):
    """A phase run's folder whose rows and result are written under a claim only.

    Args:
      path: of the folder.
      claim: on the run that the phase belongs to.
      publish: told the folder whenever there is a state from which it could go on.
    """

    def __init__(
        self,
        path: pathlib.Path,
        claim: Claim,
        publish: Callable[[pathlib.Path], None] = lambda path: None,
    ) -> None:
        super().__init__(path)
        self._claim, self._publish = claim, publish

    def append_metrics(self, row: Mapping[str, float]) -> None:
        """Adds one row to `metrics.csv`."""
        self._claim.check()
        super().append_metrics(row)

    def write_status(self, state: str, step: int, total_steps: int, elapsed_seconds: float) -> None:
        """Says how far training is; the checkpoint of that step is there."""
        super().write_status(state, step, total_steps, elapsed_seconds)
        self._publish(self.path)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Marks the phase run as finished."""
        self._claim.check()
        super().write_result(result)
        self._publish(self.path)


class ClaimedObserver:
    """An observer that stops training before a checkpoint is written without a claim.

    Args:
      observer: told of everything besides.
      claim: on the run that the phase belongs to.
    """

    def __init__(self, observer: Observer, claim: Claim) -> None:
        self._observer, self._claim = observer, claim

    def start(self, first_step: int, total_steps: int) -> None:
        """Training begins."""
        self._claim.check()
        self._observer.start(first_step, total_steps)

    def advance(self, progress: Progress, images_per_second: float) -> None:
        """Some steps are done; a checkpoint may be written next."""
        self._claim.check()
        self._observer.advance(progress, images_per_second)
