"""Paths as people write them."""

from __future__ import annotations

import pathlib

import pytest

from fine2coarse.paths import PathError, expand, expand_named


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("NOTSET", raising=False)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("~", "/home/ann"),
        ("~/runs/x", "/home/ann/runs/x"),
        ("$DATA/x.tar", "/data/x.tar"),
        ("${DATA}x/$DATA", "/datax//data"),
        ("runs/~x", "runs/~x"),
        ("./~x", "./~x"),
        ("price$", "price$"),
        ("a$1", "a$1"),
        ("", ""),
        ("gs://bucket/~ann/x", "gs://bucket/~ann/x"),
        ("gs://bucket$DATA", "gs://bucket/data"),
        ("https://tfhub.dev/google/x/1", "https://tfhub.dev/google/x/1"),
    ],
)
def test_expand(written, meant):
    assert expand(written) == meant


def test_a_variable_may_hold_a_home(monkeypatch):
    monkeypatch.setenv("DATA", "~/data")
    assert expand("$DATA/x") == "/home/ann/data/x"


def test_another_users_home():
    root = pathlib.Path("~root").expanduser()
    assert expand("~root/x") == str(root / "x")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("$NOTSET/x", "variable NOTSET is not set; set it .export NOTSET=...."),
        ("a/${EMPTY}/x", "variable EMPTY is empty"),
        ("~nobody-of-this-name/x", "no home folder is known of ~nobody-of-this-name"),
    ],
)
def test_what_cannot_be_expanded(written, message):
    with pytest.raises(PathError, match=message):
        expand(written)


def test_options_that_are_paths_are_expanded_in_nested_ones_too():
    content = {"path": "~/a", "name": "~/a", "base": {"path": "$DATA/b", "num": 3}}
    assert expand_named(content, ("path",)) == {
        "path": "/home/ann/a", "name": "~/a", "base": {"path": "/data/b", "num": 3},
    }  # fmt: skip
