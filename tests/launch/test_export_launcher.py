"""launch/export.py and launch/transfer.py --pretrained as a user meets them."""

from __future__ import annotations

import json

import pytest

from fine2coarse.models import BackboneSpec
from tests.exported_runs import write_run
from tests.launch.programs import help_of, launch


def test_help_imports_nothing_heavy():
    text, imported = help_of("export")
    assert "--kaggle_owner" in text and not imported


def test_an_export_tells_where_what_and_how_large(tmp_path):
    write_run(tmp_path / "run", BackboneSpec("resnet_tiny", 8))
    arguments = [f"--run={tmp_path / 'run'}", f"--out={tmp_path / 'out'}", "--tar", "--head"]
    shown = launch("export", *arguments, "--kaggle_owner=ann", "--kaggle_license=MIT")
    assert shown.returncode == 0, shown.stderr
    assert "exported resnet_tiny (logits float32 [batch, 4], last weights)" in shown.stdout
    assert (tmp_path / "out.tar.gz").is_file()
    model = json.loads((tmp_path / "out" / "model-instance-metadata.json").read_text())
    assert (model["ownerSlug"], model["licenseName"]) == ("ann", "MIT")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run=/no/run", "--out=x"], "no recipe.json"),
        (["--out=x"], "--run must have a value"),
        (["--run={run}", "--out={run}"], "is not empty"),
        (["--run={run}", "--out=/proc/x"], "cannot write to /proc/x"),
        (["--run={run}", "--out={run}/x", "--ema"], "export without --ema"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, arguments, message):
    run = tmp_path / "run"
    write_run(run, BackboneSpec("resnet_tiny", 8))
    shown = launch("export", *[text.format(run=run) for text in arguments])
    assert shown.returncode != 0
    assert message in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.slow
def test_pretrain_export_transfer_by_hand(tmp_path):
    """From the run, from its export, and from the bare SavedModel: the first two are the same."""
    config = "--config=configs/demo.py:smoke"
    data = f"--data_dir={tmp_path / 'data'}"
    done = launch("pretrain", config, data, "--arm=fine", f"--workdir={tmp_path / 'fine'}")
    assert done.returncode == 0, done.stderr
    done = launch("export", f"--run={tmp_path / 'fine'}", f"--out={tmp_path / 'exported'}")
    assert done.returncode == 0, done.stderr
    errors = []
    for name in ("fine", "exported"):
        done = launch(
            "transfer", config, data, f"--pretrained={tmp_path / name}",
            "--config.transfer_head=new", "--config.transfer_mode=finetune",
            f"--workdir={tmp_path / ('to-' + name)}",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        result = json.loads((tmp_path / f"to-{name}" / "result.json").read_text())
        errors.append((result["last_loss"], result["evaluation"]))
    assert errors[0] == errors[1]
    for name in ("README.md", "recipe.json"):
        (tmp_path / "exported" / name).unlink()
    done = launch(
        "transfer", config, data, f"--pretrained={tmp_path / 'exported'}",
        f"--workdir={tmp_path / 'to-saved-model'}", "--transfer_candidates=off",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    recipe = json.loads((tmp_path / "to-saved-model" / "recipe.json").read_text())
    assert recipe["backbone"]["handle"] == str(tmp_path / "exported")
    refused = launch(
        "transfer", config, data, "--pretrained=owner/model/tensorFlow2/no-such",
        f"--workdir={tmp_path / 'nothing'}",
    )  # fmt: skip
    assert refused.returncode == 2
    assert len(refused.stderr.strip().splitlines()) == 1
