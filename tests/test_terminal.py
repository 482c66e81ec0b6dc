"""Tables read the same in a terminal, a file and a pipe; progress is for terminals alone."""

from __future__ import annotations

import io
import logging
import os
import pty
import subprocess
import sys

import pytest

from fine2coarse import terminal


def test_a_table_by_hand():
    text = terminal.table(
        ["arm", "classes", "use"], [["baseline", "4", ""], ["fine", "1,024", "x"]]
    )
    assert text.splitlines() == [
        "arm       classes  use",
        "----------------------",
        "baseline        4",
        "fine        1,024    x",
    ]


def test_words_may_stand_in_any_column_and_markup_is_text():
    text = terminal.table(["n", "words"], [["[b]1[/b]", "a\\"], ["2", "longer"]], text_columns=(1,))
    assert text.splitlines()[2:] == ["[b]1[/b]  a\\", "       2  longer"]


def test_no_cell_is_wrapped_or_cut_and_nothing_is_coloured(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", "1")
    long = "a name, " * 60 + "and a last one"
    lines = terminal.table(["arm", "漢字"], [[long, "1"], ["b", "漢"]]).splitlines()
    assert len(lines) == 4 and lines[2] == f"{long}     1"
    assert "\x1b" not in "".join(lines)


def test_rows_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"expected 2 cells a row, got \['1'\]"):
        terminal.table(["a", "b"], [["1"]])


def test_without_a_terminal_there_is_no_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with terminal.Bar("train", total=10) as bar:
        bar.move_to(4, note="loss 1")
        bar.advance(2)
    assert bar.done == 6 and sys.stderr.getvalue() == ""


def test_without_a_terminal_a_line_is_logged_now_and_then(monkeypatch, caplog):
    seconds = iter([0.0, 5.0, 30.0, 31.0])
    monkeypatch.setattr(terminal, "monotonic", lambda: next(seconds))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with caplog.at_level(logging.INFO, terminal.__name__):
        bar = terminal.Bar("decode", total=4_000_000, unit="bytes", line_every_s=15)
        for done in (500_000, 1_000_000, 1_500_000):
            bar.move_to(done)
    # A quarter took 30 s: three quarters take 90.
    assert caplog.messages == ["decode: 25 % of 4.0 MB, 1 min 30 s left"]


def test_on_a_terminal_a_bar_shows_and_leaves_the_lines_between():
    code = (
        "import sys; from fine2coarse import terminal\n"
        "with terminal.Bar('run 1 [x]', total=3) as bar:\n"
        "    bar.move_to(2, note='loss 0.5'); print('a line', file=sys.stderr); bar.advance()\n"
    )
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    subprocess.run([sys.executable, "-c", code], stderr=theirs, check=True, env=environment)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "run 1 [x]" in shown and "3/3" in shown and "loss 0.5" in shown and "a line\r\n" in shown
