"""One process at a time writes a report."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Sequence

from fine2coarse.claims import hold, hold_file
from fine2coarse.runs.phase_folder import RECIPE, RunError

NAME = "report"


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
    return hold_file(out / "report.html")
