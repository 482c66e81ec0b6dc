"""The command that a study notes: what picks the recipe, no machine's folders, no secrets."""

from __future__ import annotations

import json

import pytest

from fine2coarse.report.provenance import (
    commands,
    portable_arguments,
    record_command,
    recorded_versions,
)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (["--config=configs/demo.py", "--workdir=/home/me/x"], ["--config=configs/demo.py"]),
        (["--config", "configs/demo.py", "--tpu", "my-tpu"], ["--config=configs/demo.py"]),
        (["--transfer_candidates", "off", "--jobs=2"], ["--transfer_candidates=off"]),
        (["--backend", "jax", "--packed=/home/me/pack"], ["--backend=jax"]),
        (["--config.seeds=(0, 1)", "--data_dir", "/data"], ["--config.seeds=(0, 1)"]),
        (["--config.dataset.options.api_token=abc"], ["--config.dataset.options.api_token=HIDDEN"]),
        (["--config.x.source=https://me:pw@host/a"], ["--config.x.source=https://host/a"]),
        (["--configuration=x", "--jobs=2", "--nowait"], []),
    ],
)
def test_arguments_that_pick_the_recipe_are_kept(typed, kept):
    assert portable_arguments(typed) == kept


def test_each_command_is_noted_once_and_quoted(tmp_path):
    folder = tmp_path / "my study"
    folder.mkdir()
    for arguments in (["--config=a.py"], ["--config=a.py"], ["--config=a.py", "--config.b=x y"]):
        record_command(folder, "launch/study.py", arguments)
    assert commands(folder) == [
        "python launch/study.py --config=a.py '--workdir=runs/my study'",
        "python launch/study.py --config=a.py '--config.b=x y' '--workdir=runs/my study'",
    ]
    assert recorded_versions(folder)["fine2coarse"]
    assert [path.name for path in folder.iterdir()] == ["made_with.json"]
    assert str(tmp_path) not in json.dumps(json.loads((folder / "made_with.json").read_text()))


def test_a_folder_without_notes_says_nothing(tmp_path):
    assert commands(tmp_path) == [] and recorded_versions(tmp_path) == {}
