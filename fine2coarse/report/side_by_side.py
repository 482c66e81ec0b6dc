"""Studies side by side in a folder: the page, and what a terminal shows of it."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from fine2coarse import terminal
from fine2coarse.analysis.side_by_side import SideBySide, side_by_side
from fine2coarse.analysis.side_by_side_words import headline, ranking
from fine2coarse.analysis.study_folder import read_study
from fine2coarse.claims import hold_file
from fine2coarse.errors import UsageError
from fine2coarse.files import write_atomic
from fine2coarse.report.claim import PAGE
from fine2coarse.report.side_by_side_page import errors_table, render_side_by_side
from fine2coarse.runs.phase_folder import RECIPE, make_writable_folder


@dataclasses.dataclass(frozen=True, eq=False)
class WrittenSideBySide:
    """Studies side by side, written. `print` shows it as the command does.

    Attributes:
      found: what the page says.
      page: its path.
    """

    found: SideBySide
    page: pathlib.Path

    def __str__(self) -> str:
        """Table of errors, the best of each study, the answer and where the page is."""
        table = errors_table(self.found)
        told = [
            self.found.partial,
            terminal.table(table.columns, table.cells),
            "\n".join([*ranking(self.found), *self.found.notes]),
            headline(self.found),
            f"report: {self.page}",
        ]
        return "\n\n".join(filter(None, told))


def write_side_by_side(
    workdirs: Sequence[pathlib.Path], out: pathlib.Path | None = None
) -> WrittenSideBySide:
    """Writes a page of several studies side by side, whatever their recipes.

    Args:
      workdirs: folders of at least two studies; differences are to the first.
      out: folder for the page, its pictures and tables; `comparison` beside the first study where
        None.

    Raises:
      MergeError: where a folder holds no finished run, or there are too few of them.
      UsageError: where `out` is a study's own folder.
      AlreadyHeld: where another process writes the same page.
    """
    if out is None and workdirs:
        out = workdirs[0].parent / "comparison"
    if out is not None and (out / RECIPE).is_file():
        raise UsageError(
            f"{out} is the folder of a study, whose own {PAGE} would be lost; give another --out"
        )
    found = side_by_side([read_study(workdir) for workdir in workdirs])
    make_writable_folder(out)
    with hold_file(out / PAGE):
        write_atomic(out / PAGE, render_side_by_side(found, out))
    return WrittenSideBySide(found, out / PAGE)
