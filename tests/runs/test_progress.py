"""The bar of a phase run, on a terminal that is only a buffer."""

from __future__ import annotations

import io
import sys

import pytest

from fine2coarse.runs.progress import ProgressBar
from fine2coarse.training.loop import Progress


class Screen(io.StringIO):
    """Says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_bar_shows_steps_loss_and_speed(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    with ProgressBar("run 3/15 fine seed 0 pretrain") as bar:
        bar.start(first_step=5, total_steps=8)
        bar.advance(Progress(8, 0.25, 0.1, True, True), images_per_second=99.6)
    shown = screen.getvalue()
    assert "run 3/15 fine seed 0 pretrain" in shown and "8/8" in shown
    assert "loss 0.250, 100 images/s" in shown
    assert sys.stderr is screen, "given back"


def test_a_bar_goes_away_where_training_fails(monkeypatch):
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    bar = ProgressBar("pretrain")
    with pytest.raises(ZeroDivisionError), bar:
        bar.start(0, 3)
        raise ZeroDivisionError
    assert sys.stderr is screen and screen.getvalue().rstrip().endswith("\x1b[2K")
