"""`study --sweep` and `report --compare` as they are typed."""

from __future__ import annotations

import shlex

import pytest

from tests.analysis.fake_study import write_study
from tests.launch.programs import launch

SWEEP = "--sweep=pretrain.optimizer.learning_rate=0.05,0.1"


def test_a_sweep_lists_a_command_for_each_run_of_each_cell(tmp_path):
    folder = tmp_path / "my rates"
    listed = launch(
        "study", "--config=demo:smoke", f"--workdir={folder}", SWEEP, "--list", "--arm=fine,random"
    )
    assert listed.returncode == 0, listed.stderr
    commands = [shlex.split(line) for line in listed.stdout.splitlines()]
    assert [command[-2:] for command in commands] == [
        ["--arm=fine", "--seed=0"], ["--arm=random", "--seed=0"]
    ] * 2  # fmt: skip
    for command, rate in zip(commands, ("0.05", "0.05", "0.1", "0.1"), strict=True):
        assert f"--workdir={folder}/learning_rate={rate}" in command
        assert f"--config.pretrain.optimizer.learning_rate={rate}" in command
        assert f"--data_dir={folder}/data" in command
        assert not any(word.startswith("--sweep") for word in command)
    assert not list(tmp_path.iterdir())


def test_mistakes_in_a_sweep_are_one_line_and_leave_nothing(tmp_path):
    folder = tmp_path / "rates"
    for flag, told in (
        ("--sweep=pretrain.total_steps=6,many", "expected int, got 'many'"),
        ("--seed=3", '--config.seeds="(0, 1, 2, 3)"'),
    ):
        failed = launch("study", "--config=demo:smoke", f"--workdir={folder}", SWEEP, flag)
        assert failed.returncode == 2 and not folder.exists()
        assert failed.stderr.count("\n") == 1 and told in failed.stderr


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> list[str]:
    root = tmp_path_factory.mktemp("studies")
    return [
        str(write_study(root / name, arms={"fine": {"source": "level"}}, num_images=num_images))
        for name, num_images in (("a", 60), ("b", 60), ("c", 40))
    ]


def test_folders_stand_after_compare_and_flags_after_them(studies, tmp_path):
    shown = launch("report", "--compare", *studies, f"--out={tmp_path / 'page'}")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[0].split() == ["arm", "classes", "a", "b", "c"]
    assert "c was tested on other images" in shown.stdout
    assert shown.stdout.endswith(f"report: {tmp_path / 'page' / 'report.html'}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--compare={0}"], "got 1 study to compare"),
        (["--compare={0},{0}"], "is named twice"),
        (["--compare", "{0}", "{0}x"], "no recipe.json"),
        (["--compare", "{0}", "{1}", "--workdir={2}"], "leave out --workdir"),
        (["{0}"], "given as --workdir=FOLDER, several to be compared after --compare"),
        ([], "give --workdir=FOLDER, or --compare FOLDER FOLDER"),
        (["--workdir={0},{2}", "--out={0}-{2}"], "side by side: fine2coarse report --compare"),
    ],
)
def test_mistakes_in_a_comparison_are_one_line(studies, arguments, told):
    failed = launch("report", *(argument.format(*studies) for argument in arguments))
    assert failed.returncode == 2 and not failed.stdout
    assert failed.stderr.count("\n") == 1 and told in failed.stderr, failed.stderr
