"""Pictures are ours alone: no user's settings, and nothing of the user's is touched."""

from __future__ import annotations

import matplotlib
import pytest

from fine2coarse.report.figures import saved_figure


def draw(path) -> bytes:
    with saved_figure(path) as axes:
        axes.plot([0, 1], [0, 1])
        axes.set_xlabel("x")
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_users_settings_do_not_change_a_picture(tmp_path, kind):
    expected = draw(tmp_path / f"a.{kind}")
    users = {"font.size": 30, "axes.facecolor": "red", "text.usetex": True, "savefig.bbox": "tight"}
    with matplotlib.rc_context(users):
        assert draw(tmp_path / f"b.{kind}") == expected
        assert matplotlib.rcParams["font.size"] == 30, "and stay as they were"


def test_open_figures_and_the_backend_stay(tmp_path):
    from matplotlib import pyplot

    pyplot.switch_backend("svg")
    own = pyplot.figure()
    try:
        draw(tmp_path / "a.png")
        assert matplotlib.get_backend() == "svg"
        assert pyplot.get_fignums() == [own.number] and pyplot.gcf() is own
    finally:
        pyplot.close(own)
        pyplot.switch_backend("agg")
