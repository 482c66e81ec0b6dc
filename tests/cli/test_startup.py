"""What every program sets up before all else."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.launch.programs import ROOT


def started(code: str, **variables: str) -> subprocess.CompletedProcess:
    """A program whose first import is `startup`, in an environment of the user's."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; from fine2coarse.cli import startup; {code}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
    )


def test_output_never_fails_and_a_notebooks_backend_does_not_matter():
    code = (
        "print('a', chr(0x2192), chr(0xDCFF)); print(chr(0xE9), file=sys.stderr); "
        "import matplotlib; print(matplotlib.get_backend(), 'matplotlib.pyplot' in sys.modules)"
    )
    shown = started(
        code,
        PYTHONIOENCODING="ascii",
        LC_ALL="C",
        PYTHONUTF8="0",
        MPLBACKEND="module://matplotlib_inline.backend_inline",
    )
    assert shown.returncode == 0, shown.stderr
    first, second = shown.stdout.decode("ascii").splitlines()
    assert first == "a \\u2192 \\udcff"
    assert second.split()[0].lower() == "agg"
    assert shown.stderr.decode("ascii").strip() == "\\xe9"


def program(name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """A launcher in a fresh process, in an environment of the user's."""
    return subprocess.run(
        [sys.executable, f"launch/{name}.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
    )


def test_another_backend_is_one_line_before_tensorflow_starts(tmp_path):
    arguments = ["--config=configs/demo.py:smoke", "--arm=fine", f"--workdir={tmp_path}/run"]
    shown = program("study", *arguments, KERAS_BACKEND="torch")
    assert shown.returncode == 2
    assert shown.stderr == (
        "error: the environment variable KERAS_BACKEND is 'torch', and fine2coarse runs on "
        "tensorflow and jax alone: unset KERAS_BACKEND, or set KERAS_BACKEND=tensorflow\n"
    )
    assert not (tmp_path / "run").exists()


def test_a_path_with_arrows_is_printed_in_ascii():
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    shown = program("levels", "--taxonomy=imagenet21k", "--node=n02084071", **ascii_only)
    assert shown.returncode == 0, shown.stderr
    assert "canine, canid) \\u2192 n02075296" in shown.stdout
