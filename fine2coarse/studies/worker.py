"""Working through runs that other processes work through too: each is done once."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from fine2coarse.claims import DONE, FAILED, FREE, Claim, ClaimLost, Claims
from fine2coarse.errors import FailedError, Preempted, TryAgainError
from fine2coarse.training.preemption import on_termination

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from fine2coarse.studies.run_plan import Run

MAX_POLL_SECONDS = 5.0


class RunFailed(FailedError):
    """A run that cannot be done; the others can."""


def work_through(
    runs: Sequence[Run],
    claims: Claims,
    is_done: Callable[[Run], bool],
    do: Callable[[Run, Claim | None], None],
    *,
    wait: bool = True,
    announce: Callable[[str], None] = _log.info,
) -> dict[Run, str]:
    """Does every run that no other process has done or does, and reads those that are done.

    Args:
      runs: in the order in which to try them.
      claims: shared with the other processes.
      is_done: whether a run needs no work any more.
      do: does a run under its claim, or only reads it where the claim is None.
      wait: for the runs of other processes, to take over those of the dead. Otherwise returns
        as soon as there is nothing left to do for this one.
      announce: told one line for what a person may want to know.

    Returns:
      Why runs failed, here or in other processes meanwhile.

    Raises:
      Preempted: where SIGTERM came between two runs, or `do` says so.
    """
    pending, failures, waiting_for = list(runs), {}, ""
    stop = threading.Event()
    poll_seconds = min(MAX_POLL_SECONDS, claims.timeout_s / 10)
    with on_termination(stop.set):
        while pending:
            left = []
            for run in pending:
                _leave_if(stop)
                if not _settle(run, claims, is_done, do, failures, announce):
                    left.append(run)
            if len(left) == len(pending):
                if not wait:
                    break
                held = "; ".join(f"{run} ({claims.holder(run.name) or 'free'})" for run in left)
                if held != waiting_for:
                    announce(f"waiting for what other processes do: {held}")
                waiting_for = held
                stop.wait(poll_seconds)
            pending = left
        _leave_if(stop)
    return failures


def _settle(
    run: Run,
    claims: Claims,
    is_done: Callable[[Run], bool],
    do: Callable[[Run, Claim | None], None],
    failures: dict[Run, str],
    announce: Callable[[str], None],
) -> bool:
    """Whether a run is done, by whomever, or failed."""
    if is_done(run):
        do(run, None)
        return True
    claim = claims.take(run.name)
    if claim is None:
        reason = claims.failure(run.name)
        if reason:
            failures[run] = reason
        return bool(reason)
    try:
        with _ended(claim):
            # Between the two lines above another process may have finished it.
            do(run, None if is_done(run) else claim)
    except RunFailed as error:
        failures[run] = str(error)
        announce(f"{run} failed: {error}")
    except ClaimLost as error:
        announce(str(error))
        return False
    return True


@contextlib.contextmanager
def _ended(claim: Claim) -> Iterator[None]:
    """Says to the others how the body went."""
    state, reason = FREE, ""
    try:
        yield
        state = DONE
    except (TryAgainError, OSError):  # OSError: a full disk is no fault of the run
        raise
    except Exception as error:
        state, reason = FAILED, str(error) or type(error).__name__
        raise
    finally:
        claim.end(state, reason)


def _leave_if(stop: threading.Event) -> None:
    if stop.is_set():
        raise Preempted("stopped on request between two runs; the same command goes on")
