"""The look of our pictures: PNG and SVG files, written whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fine2coarse.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette: distinct with every common colour blindness, and in grey print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A8A8A")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

_STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e7ea",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 160,
    # Text stays text: small files that can be searched. Ids are the same in every run.
    "svg.fonttype": "none",
    "svg.hashsalt": "fine2coarse",
}
_NO_METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


@contextlib.contextmanager
def saved_figure(
    path: str | os.PathLike,
    width_inches: float = 7.5,
    height_inches: float = 4.6,
    **subplots: object,
) -> Iterator[Axes]:
    """Gives the axes of a new figure (as `Figure.subplots`), and saves it at the end.

    Nothing goes through pyplot: a notebook's backend and open figures stay as they are. A user's
    matplotlibrc does not change our pictures.

    Args:
      path: of the file, .png or .svg.
      width_inches: of the figure.
      height_inches: of the figure.
      **subplots: what `Figure.subplots` takes.

    No file is written where the body raises.
    """
    import matplotlib
    from matplotlib.figure import Figure

    path = pathlib.Path(path) if isinstance(path, str) else path
    with matplotlib.rc_context(_default_style() | _STYLE):
        figure = Figure(figsize=(width_inches, height_inches))
        yield figure.subplots(**subplots)
        kind, content = path.suffix[1:], io.BytesIO()
        figure.savefig(content, format=kind, metadata=_NO_METADATA[kind])
        write_atomic(path, content.getvalue())


def set_loss_axis(axis: Axes) -> None:
    """Makes the vertical axis one of training losses: logarithmic, with plain numbers."""
    from matplotlib.ticker import LogFormatter

    axis.set_ylabel("training loss (log axis)")
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(LogFormatter())
    axis.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))


def set_count_axis(axis: Axes, label: str, num_ticks: int) -> None:
    """Makes the horizontal axis one of whole numbers, such as steps or images."""
    axis.set_xlabel(label)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.locator_params(axis="x", nbins=num_ticks)


def _default_style() -> dict[str, object]:
    """Matplotlib's own settings; the backend is the user's."""
    import matplotlib

    defaults = matplotlib.rcParamsDefault
    return {name: defaults[name] for name in defaults if name != "backend"}
