"""--config and its fields: what a card leaves out, tuples, indices, mistakes in one line."""

from __future__ import annotations

import pathlib
import sys

import pytest
from absl import flags
from ml_collections.config_flags import config_flags as config_flags_module

from fine2coarse.cli import config_flag, path_flags

_ROOT = pathlib.Path(__file__).resolve().parents[2]

DEMO = "--config=configs/demo.py:smoke"


@pytest.fixture
def parsed(monkeypatch):
    """Parses flags as a launcher does; gives their values."""
    monkeypatch.chdir(_ROOT)

    def parse(*arguments: str) -> flags.FlagValues:
        monkeypatch.setattr(sys, "argv", ["study.py", *arguments])
        values = flags.FlagValues()
        config_flag.define_config(values)
        values(sys.argv)
        return values

    return parse


def test_fields_that_the_card_leaves_out(parsed):
    config = parsed(
        "--config=configs/folder.py",
        "--config.dataset.options.max_skipped_share=0.5",
        "--config.dataset.storage=memory",
        "--config.pretrain.optimizer.max_gradient_norm=1",
        "--config.dataset.options.flat",
        "--config.transfer_choices.slow.learning_rate_factor=0.1",
    ).config
    assert config.dataset.options.max_skipped_share == 0.5
    assert config.dataset.storage == "memory" and config.dataset.options.flat is True
    assert config.pretrain.optimizer.max_gradient_norm == 1.0
    assert config.transfer_choices.slow.learning_rate_factor == 0.1
    assert config.is_locked


def test_a_card_of_ones_own_with_lists_and_whole_numbers(parsed, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config():\n"
        "    return ConfigDict({'seeds': [0, 1], 'transfer_validation_share': 1})\n"
    )
    config = parsed(
        f"--config={tmp_path}/mine.py", "--config.seeds=(3,)",
        "--config.transfer_validation_share=0.2",
    ).config  # fmt: skip
    assert config.seeds == (3,) and config.transfer_validation_share == 0.2


def test_the_card_is_found_by_home_and_variable(parsed, monkeypatch):
    monkeypatch.setenv("HOME", str(_ROOT))
    monkeypatch.setenv("CARDS", "~/configs")
    assert parsed("--config=~/configs/demo.py:smoke").config.seeds == (0,)
    assert parsed("--config=$CARDS/demo.py").config.seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("flag", "remedy", "meant"),
    [
        ("seeds[0]=3", '--config.seeds="(3, 1, 2)"', (3, 1, 2)),
        ("seeds[-1]=3", '--config.seeds="(0, 1, 3)"', (0, 1, 3)),
        ("seeds[7]=3", '--config.seeds="(0, 1, 2)"', (0, 1, 2)),
        ("seeds[0][1]=3", '--config.seeds="(0, 1, 2)"', (0, 1, 2)),
        ("seeds[0:2]=3", '--config.seeds="(0, 1, 2)"', (0, 1, 2)),
    ],
)
def test_an_index_is_told_what_to_write_and_that_works(parsed, flag, remedy, meant):
    with pytest.raises(flags.Error) as error:
        parsed("--config=configs/demo.py", f"--config.{flag}")
    assert str(error.value).endswith(remedy) and "cannot be set alone" in str(error.value)
    assert parsed("--config=configs/demo.py", remedy.replace('"', "")).config.seeds == meant


def test_an_index_into_an_option_that_is_not_given(parsed):
    with pytest.raises(flags.Error, match=r"--config.target.options.nodes=\"\('n1',\)\""):
        parsed(DEMO, "--config.target.options.nodes[0]=n1")
    config = parsed(DEMO, "--config.target.options.nodes=('n1',)").config
    assert config.target.options.nodes == ("n1",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([DEMO, "--config.pretrain[0]=1"], "pretrain is no tuple; leave out what stands in brack"),
        ([DEMO, "--config.seeds.0=1"], "--config.seeds.0: expected names with dots between"),
        ([DEMO, "--config.arms.my-arm.source=x"], r'--config.arms\["my-arm"\]'),
        ([DEMO, "--config.pretrain.total_step=5"], "did you mean 'total_steps'"),
        (["--config=configs/dmo.py"], "there is no file configs/dmo.py"),
        (["--config=configs/demo.py:tiny"], "tiny: expected demo or demo:smoke, got 'tiny'"),
        (["--config=$NOTSET/demo.py"], "variable NOTSET is not set"),
    ],
)
def test_mistakes(parsed, monkeypatch, arguments, message):
    monkeypatch.delenv("NOTSET", raising=False)
    with pytest.raises(flags.Error, match=message) as error:
        parsed(*arguments)
    assert "Traceback" not in str(error.value)


def test_names_in_brackets_work(parsed):
    config = parsed(DEMO, '--config.arms["fine"].pretrain_steps=24').config
    assert config.arms.fine.pretrain_steps == 24


def test_what_flags_gave_is_known(parsed):
    values = parsed(DEMO, "--config.dataset.options.seed=3", '--config.arms["fine"].source=level')
    given = config_flag.given_fields(values)
    assert given == {"dataset.options.seed": 3, "arms.fine.source": "level"}


@pytest.fixture
def parsed_as_program(monkeypatch):
    """Parses flags as `run_main` does; gives their values."""
    monkeypatch.chdir(_ROOT)

    def parse(*arguments: str) -> flags.FlagValues:
        values = flags.FlagValues()
        monkeypatch.setattr(flags, "FLAGS", values)
        monkeypatch.setattr(config_flag.flags, "FLAGS", values)
        monkeypatch.setattr(config_flags_module.flags, "FLAGS", values)
        config_flag.define_config(values)
        flags.DEFINE_string("workdir", None, "", flag_values=values)
        monkeypatch.setattr(sys, "argv", ["study.py", *arguments])
        path_flags.parse_flags(sys.argv)
        assert sys.argv == ["study.py", *arguments]  # as typed, for the report
        return values

    return parse


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config.seeds=(4,)", DEMO, "--workdir=x"],
        ["--workdir=x", "--config.seeds", "(4,)", "--config", DEMO.partition("=")[2]],
        [DEMO, "--config.seeds=(4,)", "--workdir=x"],
    ],
)
def test_a_field_may_stand_before_the_card(parsed_as_program, arguments):
    values = parsed_as_program(*arguments)
    assert values.config.seeds == (4,) and values.workdir == "x"


def test_what_follows_two_dashes_is_no_card(parsed_as_program, capsys):
    with pytest.raises(SystemExit):
        parsed_as_program("--config.seeds=(4,)", "--", DEMO)
    told = capsys.readouterr().err
    assert told == "error: --config.seeds sets a field of a recipe card: give --config=CARD too\n"
