"""Every flag and variable that names a path expands `~` and variables, the same way."""

from __future__ import annotations

import ast
import os
import pathlib

import pytest
from absl import flags

from fine2coarse.cli import path_flags

_LAUNCH = pathlib.Path(__file__).resolve().parents[2] / "launch"
_CLI = _LAUNCH.parent / "fine2coarse" / "cli"

# Flags of plain text that hold no path of this machine.
_NO_PATHS = {
    "device_flags.py": {"tpu"},
    "named_dataset.py": {"dataset"},
    "cloud_tpu.py": {
        "name", "zone", "project", "accelerator_type", "runtime_version", "python",
    },
    "export.py": {"data_terms", "kaggle_owner", "kaggle_license"},
    "levels.py": {"node"},
    "prepare.py": {"dataset"},
    "pretrain.py": {"arm"},
    "study.py": {"shard"},
}  # fmt: skip


def defined(define: str) -> dict[str, set[str]]:
    """Launcher → names of the flags that it defines by a function."""
    found: dict[str, set[str]] = {}
    for path in (*_LAUNCH.glob("*.py"), *_CLI.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and define == ast.unparse(node.func):
                found.setdefault(path.name, set()).add(ast.literal_eval(node.args[0]))
    return found


def test_no_flag_of_plain_text_is_a_path():
    assert defined("flags.DEFINE_string") == _NO_PATHS


def test_the_paths_are_found():
    paths = defined("define_path")
    assert paths["folder_flags.py"] == {"workdir", "data_dir"}
    assert paths["embed.py"] == {"out", "images", "run", "preset", "hub", "npy", "ids"}
    assert {"prepare.py", "levels.py", "label_space.py", "export.py", "report.py", "theory.py",
            "transfer.py", "study.py", "cloud_tpu.py", "wordnet_table.py"} < set(paths)  # fmt: skip
    assert defined("define_paths") == {"label_space.py": {"against"}, "report.py": {"compare"}}


def test_every_program_tells_mistakes_in_one_line():
    for path in _LAUNCH.glob("[a-z]*.py"):
        text = path.read_text("utf-8")
        assert "run_main(" in text and "app.run" not in text, path.name


@pytest.fixture
def values(monkeypatch):
    """Flags of a program's own, in an environment of its own."""
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("DATA", "/data")
    for name in (*path_flags._PATH_VARIABLES, "NOTSET"):
        monkeypatch.delenv(name, raising=False)
    values = flags.FlagValues()
    monkeypatch.setattr(flags, "FLAGS", values)
    parsers = {"out": path_flags._PathParser(), "against": path_flags._PathsParser()}
    for name, parser in parsers.items():
        flags.DEFINE(parser, name, None, "", flag_values=values)
    return values


def test_flags(values):
    rest = path_flags.parse_flags(["x", "--out=~/a", "--against=$DATA/b,~,c", "more"])
    assert rest == ["x", "more"]
    assert values.out == "/home/ann/a"
    assert values.against == ["/data/b", "/home/ann", "c"]


def test_environment_variables(values, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "~/data")
    monkeypatch.setenv("FINE2COARSE_HUB_PATH", "~/a:$DATA/b")
    path_flags.parse_flags(["x"])
    assert os.environ["TFDS_DATA_DIR"] == "/home/ann/data"
    assert os.environ["FINE2COARSE_HUB_PATH"] == "/home/ann/a:/data/b"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--out=$NOTSET/x", "flag --out=$NOTSET/x: path '$NOTSET/x': the variable NOTSET is not"),
        ("--uot=x", "Unknown command line flag 'uot'. Did you mean: out ?"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(values, capsys, argument, message):
    with pytest.raises(SystemExit) as left:
        path_flags.parse_flags(["x", argument])
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert told.startswith(f"error: {message}") and told.count("\n") == 1


def test_a_variable_at_fault_is_named(values, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", "$NOTSET/x")
    with pytest.raises(SystemExit):
        path_flags.parse_flags(["x"])
    told = capsys.readouterr().err
    assert "environment variable TFDS_DATA_DIR: path '$NOTSET/x': the variable NOTSET" in told
