"""Tables and progress for a terminal, both drawn by rich.

A table is plain text: no colours, and no cell is wrapped or cut, however wide the terminal is, so
that it reads the same on a screen, in a file and in a pipe. Progress is shown on terminals only.
"""

from __future__ import annotations

import atexit
import io
import logging
import sys
from collections.abc import Sequence
from time import monotonic

from rich import box, progress
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fine2coarse import formats

# A rule of dashes under the headings, and nothing else. rich's notation: a line each for the top,
# the headings, the rule under them, a row, the rule between rows, before and in the footer, the
# bottom; in each the left end, the middle, a divider, the right end.
_RULE = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
_GAP = 2  # spaces between columns

_logger = logging.getLogger(__name__)


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    text_columns: Sequence[int] = (0,),
) -> str:
    """A table as text: headings, a rule of dashes, a line a row.

    Args:
      columns: headings.
      rows: cells, as many a row as there are columns.
      text_columns: those of words, set to the left; the others are set to the right.

    Returns:
      Lines without spaces at their ends, joined by newlines.

    Raises:
      ValueError: where a row has another number of cells than there are columns.
    """
    uneven = [row for row in rows if len(row) != len(columns)]
    if uneven:
        raise ValueError(f"expected {len(columns)} cells a row, got {list(uneven[0])}")
    drawn = Table(box=_RULE, show_edge=False, padding=(0, _GAP - 1, 0, 0), pad_edge=False)
    for number, heading in enumerate(columns):
        justify = "left" if number in text_columns else "right"
        drawn.add_column(Text(heading), justify=justify, no_wrap=True, overflow="crop")
    for row in rows:
        drawn.add_row(*map(Text, row))
    file = io.StringIO()
    longest = [max(map(len, column)) for column in zip(columns, *rows)]
    width = 2 * sum(longest) + _GAP * len(columns) + 8  # a sign may be two columns wide
    Console(file=file, width=width, color_system=None, force_jupyter=False).print(drawn)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


class Bar:
    """A progress bar on standard error while that is a terminal; a context manager, or `close` it.

    What is written to standard error or logged meanwhile appears above the bar.

    Args:
      title: what is being done.
      total: units of work in all; None where that is not known yet.
      done: units that were done before.
      unit: of the work, e.g. 'images'; 'bytes' are shown as MB and the like.
      line_every_s: where there is no terminal, a line is logged this often; None for nothing.
      is_shown: False for neither a bar nor lines.
    """

    def __init__(
        self,
        title: str,
        total: float | None = None,
        done: float = 0,
        *,
        unit: str = "steps",
        line_every_s: float | None = None,
        is_shown: bool = True,
    ) -> None:
        on_terminal = sys.stderr.isatty()
        self._title, self._total, self._done, self._unit = title, total, done, unit
        self._started, self._first = monotonic(), done
        self._line_every_s = line_every_s if is_shown and not on_terminal else None
        self._last_line = self._started
        amount = (
            [progress.DownloadColumn()]
            if unit == "bytes"
            else [progress.MofNCompleteColumn(), progress.TextColumn(unit)]
        )
        self._shown = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=20),
            *amount,
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[note]}", markup=False),
            console=Console(stderr=True, force_jupyter=False),
            transient=True,
            redirect_stdout=False,  # results are not to be drawn where the bar is
            disable=not (is_shown and on_terminal),
        )
        self._task = self._shown.add_task(title, total=total, completed=done, note="")
        self._shown.start()
        atexit.register(self.close)  # a program that fails shows the cursor again

    @property
    def total(self) -> float | None:
        """Units in all; None where that is not known."""
        return self._total

    @property
    def done(self) -> float:
        """Units that are done."""
        return self._done

    def move_to(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """Shows that so many units are done.

        Args:
          done: units, all of those before included.
          total: in all, where it was not known before.
          note: what else to show, such as the loss; what was shown before where None.
        """
        self._done, self._total = done, self._total if total is None else total
        told = {} if note is None else {"note": note}
        self._shown.update(self._task, completed=done, total=self._total, **told)
        now = monotonic()
        if self._line_every_s is not None and now - self._last_line >= self._line_every_s:
            self._last_line = now
            _logger.info("%s", self._line(now - self._started))

    def advance(self, amount: float = 1) -> None:
        """Shows that more units are done."""
        self.move_to(self._done + amount)

    def _line(self, elapsed_seconds: float) -> str:
        """For example `decode: 31 % of 1.2 GB, 40 s left`."""
        if not self._total:
            return f"{self._title}: {self._amount(self._done)}"
        rate = (self._done - self._first) / elapsed_seconds
        left = (self._total - self._done) / rate if rate else None
        share = formats.percent(self._done / self._total, 0)
        return (
            f"{self._title}: {share} % of {self._amount(self._total)}, "
            f"{formats.time_left(left)} left"
        )

    def _amount(self, value: float) -> str:
        if self._unit == "bytes":
            return formats.disk_size(value)
        return f"{value:,.0f} {self._unit}"

    def close(self) -> None:
        """Takes the bar away."""
        self._shown.stop()
        atexit.unregister(self.close)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
