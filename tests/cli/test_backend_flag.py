"""--backend: it goes before KERAS_BACKEND, and other processes are told of it."""

from __future__ import annotations

import os
import subprocess
import sys
from unittest import mock

import pytest
from absl import flags

from fine2coarse import keras_settings
from fine2coarse.cli import backend_flag
from fine2coarse.cli.commands import programs
from fine2coarse.cli.completion import flags_of
from fine2coarse.keras_settings import KerasSettingsError
from tests.launch.programs import ROOT


@pytest.fixture
def given(monkeypatch):
    """A function that gives --backend and KERAS_BACKEND, before Keras is imported."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])

    def give(flag: str | None, variable: str | None) -> None:
        monkeypatch.delitem(sys.modules, "keras", raising=False)
        monkeypatch.setattr(flags.FLAGS["backend"], "_value", flag)
        monkeypatch.setenv("KERAS_BACKEND", variable or "")
        if variable is None:
            monkeypatch.delenv("KERAS_BACKEND")

    return give


@pytest.mark.parametrize(
    ("flag", "variable", "settled"),
    [
        (None, None, "tensorflow"),
        (None, "jax", "jax"),
        ("jax", None, "jax"),
        ("jax", "tensorflow", "jax"),
        ("tensorflow", "jax", "tensorflow"),
    ],
)
def test_the_flag_goes_before_the_variable(given, flag, variable, settled):
    given(flag, variable)
    backend_flag.settle_backend()
    assert keras_settings.backend() == settled


def test_it_comes_too_late_where_keras_runs_on_the_other(given, monkeypatch):
    given("jax", None)
    monkeypatch.setitem(sys.modules, "keras", mock.Mock())
    monkeypatch.setattr(keras_settings, "backend", lambda: "tensorflow")
    with pytest.raises(KerasSettingsError, match="start Python anew with KERAS_BACKEND=jax"):
        backend_flag.settle_backend()


@pytest.mark.parametrize(
    ("flag", "variable", "arguments"),
    [
        (None, None, []),
        (None, "tensorflow", []),
        (None, "jax", ["--backend=jax"]),
        ("jax", "jax", []),  # the flag is passed on as it was given
    ],
)
def test_a_backend_that_only_the_variable_names_is_passed_on(given, flag, variable, arguments):
    given(flag, variable)
    assert backend_flag.backend_argument() == arguments


def test_programs_that_compute_on_either_have_it_and_a_shell_completes_it():
    having = {name for name, path in programs().items() if "backend" in flags_of(path)}
    assert having == {"cloud_tpu", "predict", "pretrain", "study", "transfer"}


def listed(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """What `study --list` prints."""
    return subprocess.run(
        [sys.executable, "launch/study.py", "--config=demo:smoke", "--workdir=w", "--list"]
        + list(arguments),
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )


def test_listed_commands_name_it():
    shown = listed("--arm=fine", KERAS_BACKEND="jax")
    (line,) = shown.stdout.splitlines()
    assert line.endswith("--workdir=w --backend=jax --arm=fine --seed=0")


def test_another_backend_is_refused_in_one_line():
    shown = listed("--backend=torch")
    assert shown.returncode == 2 and not shown.stdout
    assert shown.stderr == (
        "error: flag --backend=torch: value should be one of <tensorflow|jax>\n"
    )
