"""The look of our pictures, and PNG files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette: told apart with every common colour blindness, and in grey print.
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
}


@contextlib.contextmanager
def saved_figure(
    path: str | os.PathLike,
    width_inches: float = 7.5,
    height_inches: float = 4.6,
    **subplots: object,
) -> Iterator[Axes]:
    """Gives the axes of a new figure (as `plt.subplots`), and saves it as PNG at the end.

    No file is written where the body raises.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    path = pathlib.Path(path)
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(width_inches, height_inches), **subplots)
        try:
            yield axes
            partial = path.with_name(path.name + ".tmp")
            figure.savefig(partial, format="png", metadata={"Software": None})
            partial.replace(path)
        finally:
            plt.close(figure)
