"""The command `fine2coarse`: its list, its help, mistakes, completion."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from fine2coarse.cli import commands, completion
from tests.launch.programs import ROOT

_HEAVY = ("numpy", "tensorflow", "keras", "matplotlib", "ml_collections", "absl", "rich")


def test_the_list_has_a_line_for_every_program(capsys):
    assert commands.run([]) == 0
    lines = capsys.readouterr().out.splitlines()
    named = [line.split()[0] for line in lines if line.startswith("  ")]
    programs = {path.stem for path in (ROOT / "launch").glob("[a-z]*.py")}
    assert set(named) == programs | {"completion"} and len(named) == len(set(named))
    assert any(line.startswith("  study ") and "Pretrains on each label" in line for line in lines)
    assert max(map(len, lines)) <= 100
    assert commands.run(["--help"]) == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_the_list_imports_nothing_heavy():
    code = (
        "import sys; from fine2coarse.cli import commands; commands.run([]); "
        f"print('imported:', *[name for name in {_HEAVY!r} if name in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout.splitlines()[-1] == "imported:"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stdy"], "unknown command 'stdy'; did you mean 'study'?"),
        (["label-spce"], "did you mean 'label_space'?"),
        (["completion"], "completion takes the name of a shell, bash or zsh; got none"),
        (["completion", "fish"], "got ['fish']"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(capsys, arguments, message):
    assert commands.run(arguments) == 2
    told = capsys.readouterr().err
    assert message in told and told.startswith("error: ") and told.count("\n") == 1


def module(*arguments: str, cwd: pathlib.Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "fine2coarse", *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )


def test_a_commands_own_help_and_its_exit_codes():
    shown = module("label-space", "--help")
    assert shown.returncode == 0
    for flag in ("--[no]drop_uncovered:", "--config:", "--data_dir:", "--dataset:"):
        assert flag in shown.stdout
    assert "Makes or describes a label space" in shown.stdout
    shown = module("levels", "--taxonmy=x")
    assert shown.returncode == 2 and "Did you mean: taxonomy" in shown.stderr


def test_a_command_works_from_any_folder(tmp_path):
    (tmp_path / "own.csv").write_text("fine,coarse\na,x\nb,x\nc,y\n")
    shown = module("levels", "--taxonomy=own.csv", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert [line.split()[:2] for line in shown.stdout.splitlines()[-2:]] == [
        ["fine", "3"], ["coarse", "2"],
    ]  # fmt: skip
    assert module("--version", cwd=tmp_path).stdout.startswith("fine2coarse 0.")


def test_how_a_study_was_started_is_told_in_its_report(monkeypatch):
    from fine2coarse.cli import startup
    from fine2coarse.cli.program import program_name

    assert program_name("study") == "launch/study.py"
    monkeypatch.setattr(startup, "is_command", True)
    assert program_name("study") == "fine2coarse study"


def test_the_flags_to_complete_are_those_that_help_shows():
    for name in ("study", "levels", "label_space", "prepare"):
        path = commands.programs()[name]
        shown = subprocess.run(
            [sys.executable, str(path), "--help"], cwd=ROOT, capture_output=True, text=True
        ).stdout
        for flag in completion.flags_of(path):
            assert f"--{flag}:" in shown or f"--[no]{flag}:" in shown, (name, flag)
    assert {"config", "workdir", "jobs"} < set(completion.flags_of(ROOT / "launch" / "study.py"))
    assert "workdir" not in completion.flags_of(ROOT / "launch" / "wordnet_table.py")


def complete(shell_words: list[str]) -> list[str]:
    """What bash offers after these words, split as bash splits them."""
    script = completion.script("bash", {**commands.programs(), "completion": None})
    words = " ".join(f"'{word}'" for word in shell_words)
    line = "".join(w if w == "=" or i == 0 else f" {w}" for i, w in enumerate(shell_words))
    line = line.replace(" = ", "=").replace("= ", "=")
    asked = (
        f"COMP_WORDS=({words}); COMP_CWORD={len(shell_words) - 1}; COMP_LINE='{line}'; "
        'compopt() { :; }; _fine2coarse; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    shown = subprocess.run(
        ["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True
    )
    return shown.stdout.split()


def test_completion_in_bash():
    assert complete(["fine2coarse", "st"]) == ["study"]
    assert complete(["fine2coarse", "study", "--wo"]) == ["--workdir="]
    assert complete(["fine2coarse", "label-space", "--dr"]) == ["--drop_uncovered="]
    assert complete(["fine2coarse", "wordnet_table", "--wo"]) == []
    assert complete(["fine2coarse", "study", "--config", "=", "dem"]) == ["demo"]
    assert "folder" in complete(["fine2coarse", "study", "--config", "="])


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_script_is_one_that_a_shell_reads(shell):
    script = completion.script(shell, commands.programs())
    assert subprocess.run(["bash", "-n", "-c", script], check=True).returncode == 0
    assert f'eval "$(fine2coarse completion {shell})"' in script.splitlines()[0]
