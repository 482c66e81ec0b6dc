"""--dataset beside a card: options given by flags count, none is dropped in silence."""

from __future__ import annotations

import importlib.util
import pathlib
import types

import pytest

from fine2coarse.cli import named_dataset

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def card(stem: str):
    spec = importlib.util.spec_from_file_location(f"card_{stem}", _ROOT / "configs" / f"{stem}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


@pytest.fixture
def opened(monkeypatch):
    """Name and options of the dataset that a card, flags and --dataset name."""

    def open_of(config, name=None, **given):
        for option, value in given.items():
            with config.unlocked():
                config.dataset.options[option] = value
        names = {f"dataset.options.{option}": value for option, value in given.items()}
        monkeypatch.setattr(named_dataset, "CONFIG", types.SimpleNamespace(value=config))
        monkeypatch.setattr(named_dataset, "DATASET", types.SimpleNamespace(value=name))
        monkeypatch.setattr(named_dataset, "given_fields", lambda: names)
        return named_dataset._name_and_options()

    return open_of


def test_options_of_flags_count_for_the_dataset_of_a_flag(opened):
    assert opened(card("labels"), "folder", source="/x") == ("folder", {"source": "/x"})


def test_without_a_flag_the_cards_options_count(opened):
    assert opened(card("demo")) == ("demo", {"seed": 0})
    assert opened(card("demo"), "demo") == ("demo", {"seed": 0})
    assert opened(None, "demo") == ("demo", {})


def test_options_that_do_not_fit_are_named(opened):
    with pytest.raises(ValueError, match="'demo' got source='/x'"):
        opened(card("labels"), "demo", source="/x")


def test_the_cards_own_options_are_not_another_datasets(opened):
    with pytest.raises(ValueError, match="describes dataset 'demo' and gives it the options seed"):
        opened(card("demo"), "folder")
    assert opened(card("demo"), "folder", seed=None) == ("folder", {})


def test_no_name_at_all(opened):
    with pytest.raises(ValueError, match="--dataset=NAME"):
        opened(None)
