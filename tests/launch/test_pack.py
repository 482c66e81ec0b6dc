"""`fine2coarse pack`, and the programs that read a pack."""

from __future__ import annotations

import os

import pytest

from fine2coarse.claims import hold
from tests.launch.programs import help_of, launch


def test_help_is_light():
    text, imported = help_of("pack")
    assert "--pixels: <squares|shorter_side|encoded>" in text and "verify" in text
    assert not imported


def test_what_is_missing_is_one_line(tmp_path):
    shown = launch("pack", f"--out={tmp_path / 'pack'}")
    assert shown.returncode == 2
    assert shown.stderr == "error: name the card whose images are packed: --config=CARD\n"
    shown = launch("pack", f"--out={tmp_path / 'pack'}", "--verify")
    assert shown.returncode == 2 and "holds no whole pack" in shown.stderr
    assert shown.stderr.count("\n") == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("sweep", [(), ("--sweep=pretrain.total_steps=4,8",)])
def test_the_commands_of_single_runs_name_the_pack(tmp_path, sweep):
    arguments = ["--config=demo:smoke", f"--workdir={tmp_path}", "--packed=packs/demo", "--list"]
    shown = launch("study", *arguments, *sweep)
    lines = shown.stdout.splitlines()
    assert len(lines) == 5 * (2 if sweep else 1), shown.stderr
    assert all("--packed=packs/demo" in line for line in lines)


@pytest.mark.slow
def test_packs_once_verifies_and_plans(tmp_path):
    out, data = tmp_path / "pack", f"--data_dir={tmp_path / 'data'}"
    with hold(out / "claims", "pack", f"--out={out}"):
        shown = launch("pack", "--config=demo:smoke", f"--out={out}", data)
    assert shown.returncode == 2
    assert f"process {os.getpid()}" in shown.stderr and shown.stderr.count("\n") == 1
    shown = launch("pack", "--config=demo:smoke", f"--out={out}", data)
    assert shown.stdout.startswith("320 images, 983.0 kB: demo "), shown.stderr
    shown = launch("pack", f"--out={out}", "--verify")
    assert shown.stdout.startswith("10 arrays are as they were written: 320 images")
    arguments = ["--config=demo:smoke", f"--packed={out}", f"--workdir={tmp_path / 'w'}"]
    shown = launch("study", *arguments, "--arm=fine", "--data_dir=nowhere", "--dry_run")
    assert "fine" in shown.stdout and "GFLOPs an image" in shown.stdout, shown.stderr
