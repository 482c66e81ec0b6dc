"""One process at a time writes a report."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence

from fine2coarse.claims import DONE, FREE, Claims, hold, hold_file
from fine2coarse.runs.phase_folder import RECIPE, RunError

NAME, PAGE = "report", "report.html"
_log = logging.getLogger(__name__)


def hold_report(
    out: pathlib.Path, workdirs: Sequence[pathlib.Path]
) -> contextlib.AbstractContextManager[object]:
    """Refuses a second process that writes the report; a study's own processes count too.

    Args:
      out: folder of the report.
      workdirs: folders of the studies that it is of.

    Raises:
      RunError: where one of them holds no study.
      AlreadyHeld: where a living process writes the same report.
    """
    for workdir in workdirs:
        if not (workdir / RECIPE).is_file():
            raise RunError(f"{workdir}: no {RECIPE}; expected the folder of a study")
    if out in workdirs:
        return hold(out / "claims", NAME, f"the report of {out}")
    return hold_file(out / PAGE)


@contextlib.contextmanager
def report_claim(
    claims: Claims, is_whole: Callable[[], bool], poll_s: float = 0.2
) -> Iterator[bool]:
    """Lets the processes of a study write its report one after another.

    Several may end at about the same time, each having seen other runs finished: the last to write
    sees all. Once one has written a whole report, no other is needed.

    Args:
      claims: of the study's processes.
      is_whole: whether all runs of the study are finished; asked before the body begins.
      poll_s: seconds between two looks at a report that another process writes.

    Yields:
      Whether the report is to be written; False where a whole one was since `claims` were opened.
    """
    claim, is_told = claims.take(NAME), False
    while claim is None and not claims.is_done(NAME):
        if not is_told:
            _log.info("waiting for the report that another process writes")
            is_told = True
        time.sleep(poll_s)
        claim = claims.take(NAME)
    if claim is None:
        yield False
        return
    state = FREE
    try:
        whole = is_whole()
        yield True
        state = DONE if whole else FREE
    finally:
        claim.end(state)
